# Print what partition $PARTITION says of its module and of its keys, as JSON: keys by name, with the SHA-256 of the public
# key. Keys that are files lie beside the partition and count among them. What cannot be named there is a failure: a key without a
# name or with another key's, a secret key, which no ceremony makes, a file that is no key's.
fail() {
  echo "partition $PARTITION: $1; find out whose before going on" >&2
  exit 1
}
slots=$(token_slots)
field() { printf '%s\n' "$slots" | sed -n "s/^ *$1 *: *//p" | head -n 1; }
# None counted is an answer, which grep calls failure 1; any other is one.
count() { printf '%s\n' "$2" | sed '/^$/d' | grep -c "$1" || [ $? = 1 ]; }
name='[a-z0-9][a-z0-9._-]*' # as the journal takes it
objects=$(token --list-objects --type privkey) # by itself: its failure is no empty partition
secrets=$(token --list-objects --type secrkey)
held=$(printf '%s\n' "$objects" | sed -n "s/^ *label: *\($name\)\$/\1/p")
keys=$(count '^Private Key Object' "$objects")
named=$(count . "$held")
labels=$(count '^ *label:' "$objects")
[ "$keys" = "$named" ] && [ "$labels" = "$named" ] || fail "it holds $keys private keys, and $named names that a key may have"
[ -z "$secrets" ] || fail "it holds secret keys ($(count '^Secret Key Object' "$secrets")), which no ceremony makes"
folder=/etc/kepil/keys/$PARTITION
beside=
if [ -d "$folder" ]; then beside=$(ls -A "$folder"); fi
files=$(printf '%s\n' "$beside" | sed -n "s/^\($name\)\.pem\$/\1/p")
[ "$(count . "$beside")" = "$(count . "$files")" ] || fail "$folder holds what is no key's file: $(echo $beside)"
twice=$(printf '%s\n' "$held" "$files" | sed '/^$/d' | sort | uniq -d)
[ -z "$twice" ] || fail "two keys are called $twice"
printf '{"module": {"make": "%s", "model": "%s", "serial": "%s", "firmware": "%s"}, "keys": {' \
  "$(field 'token manufacturer')" "$(field 'token model')" "$(field 'serial num')" "$(field 'firmware version')"
comma=
say() {
  sum=$(fingerprint)
  printf '%s"%s": "%s"' "$comma" "$NAME" "$sum"
  comma=', '
}
for NAME in $held; do
  KEY="pkcs11:token=$PARTITION;object=$NAME;type=private"
  say
done
for NAME in $files; do
  KEY="$folder/$NAME.pem"
  say
done
printf '}}'
