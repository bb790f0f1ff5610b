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
    for file in "$KEY" "$KEY.new"; do # .new: of a run that was killed while it made the key
      if [ -e "$file" ]; then shred --remove "$file"; fi
    done
    ;;
esac
