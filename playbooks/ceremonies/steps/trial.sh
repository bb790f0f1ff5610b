# Sign something with key $NAME here, and verify it by the certificate of the key that this one is to be.
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
openssl rand -hex 32 > "$folder/something"
ssl dgst ${OPENSSL_DIGEST:+"-$OPENSSL_DIGEST"} -sign "$KEY" -passin "file:$activation" -out "$folder/signature" "$folder/something"
ssl x509 -in "/etc/kepil/ceremony/$NAME.crt" -noout -pubkey -out "$folder/public"
ssl dgst ${OPENSSL_DIGEST:+"-$OPENSSL_DIGEST"} -verify "$folder/public" -signature "$folder/signature" "$folder/something"
