# On the offline root host: make $NAME's certificate and its CRL number 1, valid $CRL_DAYS days, each once.
folder=/etc/kepil/ceremony
install -d -m 0755 "$folder"
printf '%s' "$MEMBER" > "$folder/$NAME.member.json"
printf '%s' "$PROFILES" > "$folder/profiles.json"
signer() { verb=$1; shift; kepil certificate "$verb" --key "$KEY" --config "$config" --activation "$activation" "$@"; }
[ -e "$folder/$NAME.crt" ] ||
  signer self-sign --member "$folder/$NAME.member.json" --profiles "$folder/profiles.json" --out "$folder/$NAME.crt"
[ -e "$folder/$NAME.crl" ] ||
  signer crl --issuer "$folder/$NAME.crt" --number 1 --days "$CRL_DAYS" \
    --digest "$DIGEST" --out "$folder/$NAME.crl"
