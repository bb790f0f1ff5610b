# On the offline root host: make $NAME's certificate under $ISSUER from its request, once.
folder=/etc/kepil/ceremony
printf '%s' "$MEMBER" > "$folder/$NAME.member.json"
printf '%s' "$PROFILES" > "$folder/profiles.json"
[ -e "$folder/$NAME.crt" ] ||
  kepil certificate issue --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
    --issuer "$folder/$ISSUER.crt" --request "$folder/$NAME.csr" \
    --member "$folder/$NAME.member.json" --profiles "$folder/profiles.json" \
    --url-issuer "$REPOSITORY/$ISSUER.crt" --url-crl "$REPOSITORY/$ISSUER.crl" --out "$folder/$NAME.crt"
