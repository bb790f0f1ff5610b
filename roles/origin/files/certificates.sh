#!/bin/sh
# certificates.sh NAMES: a CA of origins that this host trusts; a certificate for each name; one that is expired, one that is
# self-signed, and one of another name than its site's.
set -eu
mkdir -p /srv/tls
cd /srv/tls
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $key -keyout ca.key -out ca.crt -subj "/CN=Origins' CA" -days 30
make() { # NAME SAN OPTIONS...
  name=$1 san=$2
  shift 2
  openssl req -new $key -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" -addext "subjectAltName=$san"
  openssl x509 -req -in "$name.csr" -copy_extensions copy -out "$name.crt" "$@"
}
for name in $(echo "$1" | tr , ' '); do make "$name" "DNS:$name" -CA ca.crt -CAkey ca.key -days 9; done
san() { echo "DNS:$1.example.net,DNS:$1.bank.example.com"; }
make good DNS:good.example.net -CA ca.crt -CAkey ca.key -days 9
make expired "$(san expired)" -CA ca.crt -CAkey ca.key -not_before 20250101000000Z -not_after 20250201000000Z
make self-signed "$(san self-signed)" -signkey self-signed.key -days 9
make other-name DNS:other.example.org -CA ca.crt -CAkey ca.key -days 9
install -m 0644 ca.crt /usr/local/share/ca-certificates/origins.crt
update-ca-certificates
