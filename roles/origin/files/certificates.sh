#!/bin/sh
# certificates.sh NAMES: a CA of origins that this host trusts; a certificate for each name; one that is expired, one that is
# self-signed, one of another name than its site's, and two that are revoked: by the CA's list (ca.crl), and by its responder's answer alone
# (ocsp.der).
set -eu
mkdir -p /srv/tls
cd /srv/tls
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $key -keyout ca.key -out ca.crt -subj "/CN=Origins' CA" -days 3650
asked=
make() { # NAME SAN OPTIONS...
  name=$1 san=$2
  shift 2
  openssl req -new $key -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" -addext "subjectAltName=$san" $asked
  openssl x509 -req -in "$name.csr" -copy_extensions copy -out "$name.crt" "$@"
}
for name in $(echo "$1" | tr , ' '); do make "$name" "DNS:$name" -CA ca.crt -CAkey ca.key -days 397; done
san() { echo "DNS:$1.example.net,DNS:$1.bank.example.com"; }
make good DNS:good.example.net -CA ca.crt -CAkey ca.key -days 397
make expired "$(san expired)" -CA ca.crt -CAkey ca.key -not_before 20250101000000Z -not_after 20250201000000Z
make self-signed "$(san self-signed)" -signkey self-signed.key -days 397
make other-name DNS:other.example.org -CA ca.crt -CAkey ca.key -days 397
asked="-addext crlDistributionPoints=URI:http://crl.example.net/crl"
make revoked "$(san revoked)" -CA ca.crt -CAkey ca.key -days 397
asked="-addext authorityInfoAccess=OCSP;URI:http://ocsp.example.net/ocsp"
make revoked-responder "$(san revoked-responder)" -CA ca.crt -CAkey ca.key -days 397
printf '[ca]\ndefault_ca = own\n[own]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\ndefault_crl_days = 3650\n' > ca.cnf
: > index
echo 01 > number
ca="openssl ca -config ca.cnf -keyfile ca.key -cert ca.crt"
for name in revoked revoked-responder; do $ca -revoke "$name.crt"; done
$ca -gencrl | openssl crl -outform DER -out ca.crl
signer="-CA ca.crt -rsigner ca.crt -rkey ca.key -issuer ca.crt"
openssl ocsp -index index $signer -cert revoked-responder.crt -no_nonce -ndays 3650 -respout ocsp.der
install -m 0644 ca.crt /usr/local/share/ca-certificates/origins.crt
update-ca-certificates
