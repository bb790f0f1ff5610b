# Puts the new key and the certificate in CERTIFIED (followed by the CA's) to use, if they belong together and to NAME.
set -eu
umask 022
key=/etc/ssl/private/kepil-internal.key
mkdir -p /etc/ssl/kepil
cd /etc/ssl/kepil
printf '%s\n' "$CERTIFIED" | openssl x509 -out internal.crt.new
printf '%s\n' "$CERTIFIED" | sed '1,/END CERTIFICATE/d' | openssl x509 -out internal-ca.crt.new
openssl verify -CAfile internal-ca.crt.new -purpose sslserver -verify_hostname "$NAME" internal.crt.new
[ "$(openssl pkey -in $key.new -pubout)" = "$(openssl x509 -in internal.crt.new -noout -pubkey)" ]
mv internal-ca.crt.new internal-ca.crt
mv $key.new $key
mv internal.crt.new internal.crt
