# On the offline root host: make CRL number 1 of $NAME, valid $CRL_DAYS days, once. An empty file says that none was there before
# ceremony $CEREMONY.
folder=/etc/kepil/ceremony
if [ ! -e "$folder/$NAME.crl" ]; then
  [ -z "$CEREMONY" ] || : > "$folder/$NAME.before-$CEREMONY.crl"
  kepil certificate crl --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
    --issuer "$folder/$NAME.crt" --number 1 --days "$CRL_DAYS" --out "$folder/$NAME.crl"
fi
