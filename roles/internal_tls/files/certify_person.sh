# Prints a certificate for the key in REQUEST, and after it the CA's own. What the certificate says comes from the inventory
# (NAME, UNIT, DAYS): of the request only the key is taken. It is for a client, and by its form it is no host's.
set -eu
cd "$CA_DIRECTORY"
printf '%s\n' "$REQUEST" | openssl x509 -req -sha256 -days "$DAYS" -subj "/OU=$UNIT/CN=$NAME" \
  -CA ca.crt -CAkey "$CA_KEY" ${CA_ACTIVATION:+-passin "file:$CA_ACTIVATION"} -extfile /dev/fd/3 3<<EOF
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
EOF
openssl x509 -in ca.crt
