# Sign $NAME's certificate, once: the bytes of its draft, if they are those that were linted ($LINTED is their SHA-256).
folder=/etc/kepil/ceremony
[ -e "$folder/$NAME.crt" ] ||
  kepil certificate sign --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
    --draft "$folder/$NAME.draft.crt" --linted "$LINTED" --out "$folder/$NAME.crt"
