# Makes a new key next to the one in use, and prints a request that proves possession of it. NAME: the host's name.
set -eu
umask 077
key=/etc/ssl/private/kepil-internal.key.new
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $key
chgrp ssl-cert $key
chmod 0640 $key
openssl req -new -key $key -subj "/CN=$NAME" -config /dev/stdin <<EOF
[req]
distinguished_name = name
[name]
EOF
