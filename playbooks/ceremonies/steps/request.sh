# Make the PKCS #10 request of key $NAME for $SUBJECT, once.
folder=/etc/kepil/ceremony
install -d -m 0755 "$folder"
if [ ! -e "$folder/$NAME.csr" ]; then
  cat > "$folder/$NAME.cnf" <<END
[req]
prompt = no
utf8 = yes
string_mask = utf8only
distinguished_name = subject
[subject]
$SUBJECT
END
  ssl req -new -config "$folder/$NAME.cnf" -key "$KEY" -passin "file:$activation" ${OPENSSL_DIGEST:+"-$OPENSSL_DIGEST"} \
    -out "$folder/$NAME.csr.new"
  mv "$folder/$NAME.csr.new" "$folder/$NAME.csr"
fi
