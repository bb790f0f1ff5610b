# On the issuing CA's host: issue $NAME's certificate from its request. The CA gives the same request the same certificate.
folder=/etc/kepil/ceremony
printf '%s' "$MEMBER" > "$folder/$NAME.member.json"
CREDENTIALS_DIRECTORY=/etc/kepil/credentials kepil ca issue --settings /etc/kepil/ca.json --authority "$AUTHORITY" \
  --profile "$PROFILE" --request "$folder/$NAME.csr" --member "$folder/$NAME.member.json" --out "$folder/$NAME.crt"
