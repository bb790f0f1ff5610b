#!/bin/sh
# ceremonies.sh FOLDER ROOT ISSUING: certificates, records and a root CRL as ceremonies leave them, with throw-away keys.
set -eu
mkdir -p "$1"
cd "$1"
for name in "$2" "$3"; do
  [ -e "$name.json" ] && continue
  by= # the root signs for itself, and for the issuing CA
  [ "$name" = "$2" ] || by="-CA $2.crt -CAkey $2.key"
  # shellcheck disable=SC2086 # two options, or none
  openssl req -x509 $by -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -subj "/CN=$name" -out "$name.crt"
  fingerprint=$(openssl x509 -in "$name.crt" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr A-F a-f)
  printf '{"name": "%s", "sha256": "%s", "subject": "CN=%s", "not_after": "2035-01-01"}\n' "$name" "$fingerprint" "$name" > "$name.json"
done
printf '[ca]\ndefault_ca = c\n[c]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\ndefault_crl_days = 30\n' > ca.cnf
[ -e crlnumber ] || echo 0A > crlnumber
: > index.txt
for number in old current; do
  [ -e "$2.$number" ] && continue
  openssl ca -config ca.cnf -gencrl -cert "$2.crt" -keyfile "$2.key" -out crl.pem
  openssl crl -in crl.pem -outform DER -out "$2.$number"
done
[ -e "$2.crl" ] || cp "$2.current" "$2.crl"
