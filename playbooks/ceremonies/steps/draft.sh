# Make the draft of $NAME's certificate under $ISSUER, or of its own where $ISSUER is $NAME: what is to be signed, under a
# throw-away key. Where the certificate is there already, its draft stays, so that the two can be compared.
folder=/etc/kepil/ceremony
install -d -m 0755 "$folder"
printf '%s' "$MEMBER" > "$folder/$NAME.member.json"
printf '%s' "$PROFILES" > "$folder/profiles.json"
[ "$ISSUER" = "$NAME" ] || set -- --issuer "$folder/$ISSUER.crt" --request "$folder/$NAME.csr" \
  --url-issuer "$REPOSITORY/$ISSUER.crt" --url-crl "$REPOSITORY/$ISSUER.crl"
if [ ! -e "$folder/$NAME.crt" ]; then
  rm -f "$folder/$NAME.draft.crt"
  kepil certificate draft --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" "$@" \
    --member "$folder/$NAME.member.json" --profiles "$folder/profiles.json" --out "$folder/$NAME.draft.crt"
fi
