# Prints a certificate for the key in REQUEST, and after it the CA's own. The name and everything else that the
# certificate says come from the inventory (NAME, DAYS): of the request only the key is taken.
set -eu
cd "$CA_DIRECTORY"
printf '%s\n' "$REQUEST" | openssl x509 -req -sha256 -days "$DAYS" -subj "/CN=$NAME" \
  -CA ca.crt -CAkey "$CA_KEY" ${CA_ACTIVATION:+-passin "file:$CA_ACTIVATION"} -extfile /dev/fd/3 3<<EOF
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:$NAME
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
EOF
openssl x509 -in ca.crt
