# Print the SHA-256 of the public key of $NAME; nothing where there is no such key. A partition that cannot be asked is a
# failure, not an absent key.
keys=$(token --list-objects --type privkey)
if printf '%s\n' "$keys" | grep -q "^ *label: *$NAME\$"; then fingerprint; fi
