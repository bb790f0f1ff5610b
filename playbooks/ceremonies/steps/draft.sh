# Make the draft of $NAME's certificate under $ISSUER, or of its own where $ISSUER is $NAME: what is to be signed, under a
# throw-away key. Where the certificate is there already, its draft stays, so that the two can be compared; one of a key that was
# destroyed since, which had the same name, is laid aside.
folder=/etc/kepil/ceremony
install -d -m 0755 "$folder"
printf '%s' "$MEMBER" > "$folder/$NAME.member.json"
printf '%s' "$PROFILES" > "$folder/profiles.json"
if [ "$ISSUER" != "$NAME" ] && [ -e "$folder/$NAME.crt" ]; then
  certified=$(ssl x509 -in "$folder/$NAME.crt" -noout -pubkey)
  asked=$(ssl req -in "$folder/$NAME.csr" -noout -pubkey)
  [ "$certified" = "$asked" ] || mv "$folder/$NAME.crt" "$folder/$NAME.former.crt"
fi
[ "$ISSUER" = "$NAME" ] || set -- --issuer "$folder/$ISSUER.crt" --request "$folder/$NAME.csr" \
  --url-issuer "$REPOSITORY/$ISSUER.crt" --url-crl "$REPOSITORY/$ISSUER.crl"
if [ ! -e "$folder/$NAME.crt" ]; then
  rm -f "$folder/$NAME.draft.crt"
  kepil certificate draft --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" "$@" \
    --member "$folder/$NAME.member.json" --profiles "$folder/profiles.json" --out "$folder/$NAME.draft.crt"
fi
