# On the offline root host: draft CRL number 1 of $NAME, valid $CRL_DAYS days, under a throw-away key, unless a CRL is there. An empty
# file says that none was there before ceremony $CEREMONY.
folder=/etc/kepil/ceremony
if [ ! -e "$folder/$NAME.crl" ]; then
  [ -z "$CEREMONY" ] || : > "$folder/$NAME.before-$CEREMONY.crl"
  rm -f "$folder/$NAME.draft.crl"
  kepil certificate draft-crl --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
    --issuer "$folder/$NAME.crt" --number 1 --days "$CRL_DAYS" --out "$folder/$NAME.draft.crl"
fi
