# Run inside the tree, in a network namespace of its own, after squid.sh made the certificates: scanner, its door, Squid, and a
# client that fetches; then without the scanner, then without its door. What the client got goes to /work/answers.
set -eu
for address in 203.0.113.80 198.18.10.11 198.18.8.11; do ip address add $address/32 dev lo; done
ip link set lo up
cd /work
mkdir -p /run/clamav /run/c-icap /var/log/c-icap /run/squid
chown clamav /run/clamav /var/lib/clamav; chown c-icap /run/c-icap /var/log/c-icap
rm -f /run/squid.pid /dev/shm/squid-* /run/clamav/clamd.ctl; chown proxy /run/squid /var/lib/squid /var/log/squid
chmod 1777 /dev/shm; rm -rf /var/lib/squid/ssl_db
setpriv --reuid proxy --regid proxy --clear-groups \
  /usr/lib/squid/security_file_certgen -c -s /var/lib/squid/ssl_db -M 64MB > /dev/null
clamd --foreground -c /etc/clamav/clamd.conf > clamd.out 2>&1 & clamd=$!
for _ in $(seq 50); do [ -S /run/clamav/clamd.ctl ] && break; sleep 0.2; done
c-icap -N -f /etc/c-icap/c-icap.conf > icap.out 2>&1 & icap=$!
openssl s_server -accept 203.0.113.80:443 -cert o.crt -key o.key -WWW > server.out 2>&1 & server=$!
sleep 1
squid -N -f /etc/kepil/gateway/squid.conf > squid.out 2>&1 & squid=$!
trap 'kill $squid $server $clamd $icap 2>/dev/null || true' EXIT
for _ in $(seq 100); do curl -s -o /dev/null http://198.18.8.11:3128/ && break; sleep 0.2; done
fetch() {
  code=$(curl -sSk --max-time 10 --interface 198.18.10.11 -x http://198.18.8.11:3128 -o body -w '%{http_code}' https://$2/$3 || true)
  echo "$1 $2 $3 | $code $(cmp -s body $3 && echo whole)"
  rm -f body
}
{
  for file in clean eicar; do fetch up news.example $file; done
  fetch up bank.example eicar
  kill $clamd; wait $clamd || true
  fetch unscanned news.example clean
  fetch unscanned bank.example clean
  kill $icap; wait $icap || true
  fetch alone news.example clean
} > answers
