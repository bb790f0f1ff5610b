# How the activation data of partition $PARTITION give way to others on this host. They lie in three files: .pin opens, -next.pin is
# to open, -last.pin did. What is done already is found done.
set -eu
umask 077
pin=$PINS/hsm-$PARTITION
conf=/etc/kepil/hsm/$PARTITION.conf # of the token, where it is on this host
[ ! -e "$conf" ] || export SOFTHSM2_CONF="$conf"

opens() { # FILE: whether the token here opens with what it holds
  PIN="$(cat "$1")" ${SOFTHSM2_CONF:+runuser -u kepil-hsm --} \
    pkcs11-tool --module "$MODULE" --token-label "$PARTITION" --login --pin env:PIN --list-objects --type privkey >/dev/null 2>&1
}

replace() { # FROM TO: the token, if it is here, and the keys that are files
  if [ -e "$conf" ] && ! opens "$2"; then
    PIN="$(cat "$1")" NEW_PIN="$(cat "$2")" runuser -u kepil-hsm -- \
      pkcs11-tool --module "$MODULE" --token-label "$PARTITION" --login --pin env:PIN --change-pin --new-pin env:NEW_PIN >&2
  fi
  for key in "/etc/kepil/keys/$PARTITION"/*.pem; do
    if [ ! -e "$key" ] || ssl pkey -in "$key" -passin "file:$2" -noout 2>/dev/null; then continue; fi
    ssl pkcs8 -topk8 -scrypt -in "$key" -passin "file:$1" -passout "file:$2" -out "$key.new"
    chown --reference="$key" "$key.new"
    chmod --reference="$key" "$key.new"
    mv "$key.new" "$key"
  done
}
ssl() { OPENSSL_CONF=/etc/kepil/openssl-$PARTITION.cnf openssl "$@"; }
