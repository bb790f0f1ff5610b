# In the records: gather what roots $NAMES signed before in folder $STATE. The last list that was withdrawn is among it, as its number
# stays taken.
rm -rf "$STATE"
mkdir "$STATE"
for name in $NAMES; do
  for file in "$name.crt" "$name.crl" "withdrawn/$name.withdrawn.crl"; do
    if [ -e "$file" ]; then cp "$file" "$STATE/"; fi
  done
done
