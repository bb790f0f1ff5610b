# Makes the internal CA: its key, unless CA_KEY is a URI (the key is then on a token already), and its certificate.
# A key that is there is used, never replaced.
set -eu
umask 077
cd "$CA_DIRECTORY"
case $CA_KEY in
  *:*) ;;
  *) [ -e "$CA_KEY" ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$CA_KEY" ;;
esac
openssl req -x509 -new -key "$CA_KEY" ${CA_ACTIVATION:+-passin "file:$CA_ACTIVATION"} \
  -sha256 -days "$CA_DAYS" -out ca.crt.new \
  -subj "/O=$ENVIRONMENT/CN=Internal CA of $ENVIRONMENT" -config /dev/stdin <<EOF
[req]
distinguished_name = name
x509_extensions = ca
[name]
[ca]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
EOF
mv ca.crt.new ca.crt
