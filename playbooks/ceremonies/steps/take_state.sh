# What the roots signed before has arrived. This host takes it where it keeps nothing, as one that runs from memory; where it keeps
# something, that must not be newer. What stood before ceremony $CEREMONY is what arrived, whatever was signed and lost since.
[ ! -e /etc/ssl/openssl-gost.cnf ] || export OPENSSL_CONF=/etc/ssl/openssl-gost.cnf
number() { printf '%d' "$(openssl crl -in "$1" -noout -crlnumber | sed 's/^crlNumber=\(0x\)\?/0x/')"; }
for certificate in "$folder/arrived/state"/*.crt; do
  NAME=$(basename "$certificate" .crt)
  list=$folder/arrived/state/$NAME.crl
  if [ -e "$folder/$NAME.crt" ] && ! cmp -s "$certificate" "$folder/$NAME.crt"; then
    echo "$NAME: the certificate that was brought is not the one that is here: bring this environment's records" >&2
    exit 1
  fi
  if ! openssl crl -in "$list" -noout -CAfile "$certificate" >&2; then
    echo "$NAME: the CRL that was brought is not its root's" >&2
    exit 1
  fi
  if [ -e "$folder/$NAME.crl" ] && [ ! -e "$folder/$NAME.before-$CEREMONY.crl" ] && ! cmp -s "$list" "$folder/$NAME.crl"; then
    echo "$NAME: CRL $(number "$list") was brought, and CRL $(number "$folder/$NAME.crl") was signed here and is not the same:" \
      "bring the newest records, or end the ceremony that signed it" >&2
    exit 1
  fi
  cp "$certificate" "$folder/$NAME.crt"
  [ -e "$folder/$NAME.crl" ] || cp "$list" "$folder/$NAME.crl"
  [ -e "$folder/$NAME.before-$CEREMONY.crl" ] || cp "$list" "$folder/$NAME.before-$CEREMONY.crl"
  withdrawn=$NAME.withdrawn.crl
  if [ -e "$folder/arrived/state/$withdrawn" ] && [ ! -e "$folder/$withdrawn" ]; then
    cp "$folder/arrived/state/$withdrawn" "$folder/$withdrawn"
  fi
done
touch "$folder/state-$CEREMONY"
