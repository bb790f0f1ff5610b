# Run inside the tree, as the gateway, in a network namespace of its own: a client and an origin in two others, the role's rules
# and Squid between them. What the clients saw goes to /work/answers.
set -eu
cd /work
unshare --net sleep 300 & client=$!
unshare --net sleep 300 & origin=$!
trap 'kill $client $origin $server $squid 2>/dev/null || true' EXIT
server=0 squid=0
sleep 0.5
in_client() { nsenter --net=/proc/$client/ns/net "$@"; }
in_origin() { nsenter --net=/proc/$origin/ns/net "$@"; }
ip link set lo up
ip link add users0 type veth peer name c0; ip link set c0 netns $client
ip link add out0 type veth peer name o0; ip link set o0 netns $origin
ip address add 198.18.8.1/16 dev users0; ip link set users0 up
ip address add 203.0.113.1/24 dev out0; ip link set out0 up
in_client ip link set c0 up; in_client ip link set lo up
for address in 198.18.10.11 198.18.20.1 198.18.99.1; do in_client ip address add $address/16 dev c0; done
in_client ip route add default via 198.18.8.1
in_origin ip link set o0 up; in_origin ip link set lo up
for address in 203.0.113.80 203.0.113.81; do in_origin ip address add $address/24 dev o0; done
in_origin ip route add default via 203.0.113.1
echo 1 > /proc/sys/net/ipv4/ip_forward
ip rule add fwmark 0x1 lookup 100; ip route add local default dev lo table 100
nft -f gateway.nft; nft -f elements.nft

openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /OU=origin -days 9 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout o.key -out o.csr -subj /CN=o 2>/dev/null
openssl x509 -req -in o.csr -CA ca.crt -CAkey ca.key -days 9 -extfile names -out o.crt 2>/dev/null
cp ca.crt /etc/ssl/certs/ca-certificates.crt
cd /etc/kepil/gateway/inspection
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /OU=gateway \
  -keyout ca.key -out ca.crt -addext keyUsage=critical,keyCertSign 2>/dev/null
chgrp proxy ca.key; chmod 640 ca.key; cd /work
rm -f /run/squid.pid /dev/shm/squid-*; mkdir -p /run/squid; chown proxy /run/squid /var/lib/squid /var/log/squid
chmod 1777 /dev/shm; rm -rf /var/lib/squid/ssl_db
setpriv --reuid proxy --regid proxy --clear-groups \
  /usr/lib/squid/security_file_certgen -c -s /var/lib/squid/ssl_db -M 64MB > /dev/null
in_origin openssl s_server -accept 443 -cert o.crt -key o.key -www > server.out 2>&1 & server=$!
squid -N -f /etc/kepil/gateway/squid.conf > squid.out 2>&1 & squid=$!
sleep 3
while read -r question; do
  set -- $question
  source=$1 name=$2 address=$3
  [ "${4:-}" != closed ] || nft flush set inet gateway enrolled
  code=$(in_client curl -sSkv --max-time 6 --interface $source --connect-to $name:443:$address:443 \
    -o body -w '%{http_code}' https://$name/ 2> told || true)
  echo "$question | $code $(sed -n 's/^.*issuer: //p' told) $(sed -n 's/.*Reason: <code>\([a-z-]*\).*/\1/p' body)"
  : > body
done < questions > answers
