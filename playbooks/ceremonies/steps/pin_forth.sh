# What is to open opens.
if [ -e "$pin-next.pin" ]; then
  replace "$pin.pin" "$pin-next.pin"
  [ -e "$pin-last.pin" ] || cp "$pin.pin" "$pin-last.pin"
  mv "$pin-next.pin" "$pin.pin"
fi
