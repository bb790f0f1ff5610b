# Destroy both halves of the key pair $NAME, if they are there.
case $KEY in
  pkcs11:*)
    for half in privkey pubkey; do
      objects=$(token --list-objects --type "$half")
      if printf '%s\n' "$objects" | grep -q "^ *label: *$NAME\$"; then
        token --delete-object --type "$half" --label "$NAME" >&2
      fi
    done
    ;;
  *)
    if [ -e "$KEY" ]; then shred --remove "$KEY"; fi
    ;;
esac
