# On the offline root host: make CRL number 1 of $NAME, valid $CRL_DAYS days, once.
folder=/etc/kepil/ceremony
[ -e "$folder/$NAME.crl" ] ||
  kepil certificate crl --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
    --issuer "$folder/$NAME.crt" --number 1 --days "$CRL_DAYS" --out "$folder/$NAME.crl"
