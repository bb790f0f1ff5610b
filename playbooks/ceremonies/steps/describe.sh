# Print what the record says of $NAME's certificate, as JSON. A certificate of another key than $NAME's is refused.
certificate=/etc/kepil/ceremony/$NAME.crt
own=$(fingerprint)
ssl x509 -in "$certificate" -noout -pubkey -out "$certificate.key"
certified=$(ssl pkey -pubin -in "$certificate.key" -outform DER | sha256sum | cut -d' ' -f1)
rm "$certificate.key"
if [ "$own" != "$certified" ]; then
  echo "$certificate certifies another key than $KEY: it was not recorded; bring the one that its ceremony made" >&2
  exit 1
fi
kepil certificate show "$certificate"
