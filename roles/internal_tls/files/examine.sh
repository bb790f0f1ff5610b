# Says why the host needs a new certificate, in a line a reason; nothing when it needs none. Changes nothing.
# NAME: the host's name; RENEW_DAYS: how long before its end a certificate is renewed; AUTHORITY: the CA's fingerprint.
key=/etc/ssl/private/kepil-internal.key
certificate=/etc/ssl/kepil/internal.crt
anchor=/etc/ssl/kepil/internal-ca.crt

if [ -e $anchor ] && [ "$(openssl x509 -in $anchor -noout -fingerprint -sha256)" != "$AUTHORITY" ]; then
  echo "$anchor is of another CA"
fi
for file in $key $certificate $anchor; do
  [ -e $file ] || { echo "$file is missing"; exit 0; }
done
openssl x509 -in $certificate -noout -checkend $((RENEW_DAYS * 86400)) > /dev/null \
  || echo "it ends in less than $RENEW_DAYS days"
openssl x509 -in $certificate -noout -checkhost "$NAME" | grep -q "does match" || echo "it does not name $NAME"
openssl verify -CAfile $anchor $certificate > /dev/null 2>&1 || echo "the CA does not vouch for it"
[ "$(openssl pkey -in $key -pubout)" = "$(openssl x509 -in $certificate -noout -pubkey)" ] || echo "it is not of $key"
[ "$(stat --format '%U:%G %a' $key)" = "root:ssl-cert 640" ] || echo "others could read $key"
exit 0
