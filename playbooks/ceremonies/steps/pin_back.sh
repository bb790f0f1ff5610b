# What opened before opens again, wherever the way forth was broken off.
if [ -e "$pin-last.pin" ]; then
  replace "$pin.pin" "$pin-last.pin"
  mv "$pin-last.pin" "$pin.pin"
elif [ -e "$pin-next.pin" ]; then
  replace "$pin-next.pin" "$pin.pin"
fi
rm -f "$pin-next.pin"
