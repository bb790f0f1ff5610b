# On the offline root host: sign the CRL of $NAME that follows the last one, valid $CRL_DAYS days. $REVOKED is what is new on it.
folder=/etc/kepil/ceremony
printf '%s' "$REVOKED" > "$folder/$NAME.revoke.json"
rm -f "$folder/$NAME.next.crl"
kepil certificate crl --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
  --issuer "$folder/$NAME.crt" --last "$folder/$NAME.crl" --revoke "$folder/$NAME.revoke.json" --days "$CRL_DAYS" \
  --out "$folder/$NAME.next.crl"
mv "$folder/$NAME.next.crl" "$folder/$NAME.crl"
