# Sign the bytes of $NAME's draft, if they are those that were linted ($LINTED is their SHA-256). A certificate and a root's first CRL
# are signed once; a CRL that follows takes the place of the last.
folder=/etc/kepil/ceremony
made=$folder/$NAME.$KIND
sign() {
  kepil certificate sign --key "$KEY" --config "$config" --activation "$activation" --digest "$DIGEST" \
    --draft "$folder/$NAME.draft.$KIND" --linted "$LINTED" --out "$1"
}
if [ "$DRAFTED" = crl ]; then
  rm -f "$folder/$NAME.next.crl"
  sign "$folder/$NAME.next.crl"
  mv "$folder/$NAME.next.crl" "$made"
elif [ ! -e "$made" ]; then
  sign "$made"
fi
