# On the offline root host: draft the CRL of $NAME that follows the one before ceremony $CEREMONY, valid $CRL_DAYS days, under a
# throw-away key. $REVOKED is what is new on it. Drafted again after an interruption it lists the same; its number follows all that were
# ever signed.
folder=/etc/kepil/ceremony
former=$folder/$NAME.before-$CEREMONY.crl
if [ ! -e "$former" ]; then
  cp "$folder/$NAME.crl" "$former.new"
  mv "$former.new" "$former"
fi
set -- --after "$folder/$NAME.crl"
[ ! -e "$folder/$NAME.withdrawn.crl" ] || set -- "$@" --after "$folder/$NAME.withdrawn.crl"
printf '%s' "$REVOKED" > "$folder/$NAME.revoke.json"
rm -f "$folder/$NAME.draft.crl"
kepil certificate draft-crl --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
  --issuer "$folder/$NAME.crt" --last "$former" "$@" --revoke "$folder/$NAME.revoke.json" --days "$CRL_DAYS" \
  --out "$folder/$NAME.draft.crl"
