# Run inside the tree, in a network namespace of its own: an origin, Squid, and clients that ask the questions in /work/questions.
set -eu
for address in 203.0.113.80 198.18.10.11 198.18.20.1 198.18.99.1 198.18.8.11; do ip address add $address/32 dev lo; done
ip link set lo up
cd /work
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /OU=origin -days 9 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout o.key -out o.csr -subj /CN=o 2>/dev/null
openssl x509 -req -in o.csr -CA ca.crt -CAkey ca.key -days 9 -extfile names -out o.crt 2>/dev/null
cp ca.crt /etc/ssl/certs/ca-certificates.crt
cd /etc/kepil/gateway/inspection
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /OU=gateway \
  -keyout ca.key -out ca.crt -addext keyUsage=critical,keyCertSign 2>/dev/null
chgrp proxy ca.key; chmod 640 ca.key; cd /work
rm -f /run/squid.pid /dev/shm/squid-*; mkdir -p /run/squid; chown proxy /run/squid /var/lib/squid /var/log/squid; chmod 1777 /dev/shm
rm -rf /var/lib/squid/ssl_db
setpriv --reuid proxy --regid proxy --clear-groups /usr/lib/squid/security_file_certgen -c -s /var/lib/squid/ssl_db -M 64MB \
  > /dev/null
openssl s_server -accept 203.0.113.80:443 -cert o.crt -key o.key -www > /dev/null 2>&1 & origin=$!
squid -N -f /etc/kepil/gateway/squid.conf > squid.out 2>&1 & squid=$!
trap 'kill $squid $origin' EXIT
for _ in $(seq 100); do curl -s -o /dev/null http://198.18.8.11:3128/ && break; sleep 0.2; done
while read -r question; do
  set -- $question
  source=$1 name=$2 connect=$3
  code=$(curl -sSkv --max-time 10 --interface $source -x http://198.18.8.11:3128 --connect-to $name:443:$connect:443 \
    -o body -w '%{http_code}' https://$name/ 2> told || true)
  echo "$question | $code $(sed -n 's/^.*issuer: //p' told) $(sed -n 's/.*Reason: <code>\([a-z-]*\).*/\1/p' body)"
  : > body
done < questions > answers
