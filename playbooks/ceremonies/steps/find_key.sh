# Print the SHA-256 of the public key of $NAME; nothing where there is no such key. A partition that cannot be asked, or a
# folder that is not there, is a failure, not an absent key.
case $KEY in
  pkcs11:*)
    keys=$(token --list-objects --type privkey)
    label="^ *label: *$NAME\$"
    ;;
  *)
    keys=$(ls "${KEY%/*}")
    label="^$NAME\\.pem\$"
    ;;
esac
if printf '%s\n' "$keys" | grep -q "$label"; then fingerprint; fi
