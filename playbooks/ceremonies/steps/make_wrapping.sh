# Make the key pair under which partition $PARTITION is wrapped, and activation data that open its private half.
set -eu
umask 077
folder=/etc/kepil/ceremony
pin=/etc/kepil/credentials/hsm-$PARTITION-wrapping.pin
key=$folder/$PARTITION-wrapping.pem
install -d -m 0755 "$folder"
openssl rand -hex 16 > "$pin"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 | openssl pkcs8 -topk8 -scrypt -passout "file:$pin" -out "$key"
openssl req -x509 -new -key "$key" -passin "file:$pin" -subj "/CN=Backup of partition $PARTITION" -days 3650 \
  -out "$folder/$PARTITION-wrapping.crt"
