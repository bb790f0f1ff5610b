# Print what partition $PARTITION says of its module and of its keys, as JSON: keys by name, with the SHA-256 of the public
# key. Keys that are files lie beside the partition and count among them. A name that is there twice is a failure.
slots=$(token_slots)
field() { printf '%s\n' "$slots" | sed -n "s/^ *$1 *: *//p" | head -n 1; }
objects=$(token --list-objects --type privkey) # by itself: its failure is no empty partition
held=$(printf '%s\n' "$objects" | sed -n 's/^ *label: *//p')
files=$(ls "/etc/kepil/keys/$PARTITION" 2>/dev/null | sed -n 's/\.pem$//p')
twice=$(printf '%s\n' "$held" "$files" | sed '/^$/d' | sort | uniq -d)
if [ -n "$twice" ]; then
  echo "partition $PARTITION: two keys are called $twice; find out which is whose before going on" >&2
  exit 1
fi
printf '{"module": {"make": "%s", "model": "%s", "serial": "%s", "firmware": "%s"}, "keys": {' \
  "$(field 'token manufacturer')" "$(field 'token model')" "$(field 'serial num')" "$(field 'firmware version')"
comma=
for NAME in $held; do
  KEY="pkcs11:token=$PARTITION;object=$NAME;type=private"
  printf '%s"%s": "%s"' "$comma" "$NAME" "$(fingerprint)"
  comma=', '
done
for NAME in $files; do
  KEY="/etc/kepil/keys/$PARTITION/$NAME.pem"
  printf '%s"%s": "%s"' "$comma" "$NAME" "$(fingerprint)"
  comma=', '
done
printf '}}'
