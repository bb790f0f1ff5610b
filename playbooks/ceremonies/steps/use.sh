# Begins every script that uses a key: how to use partition $PARTITION from this host. The activation data goes from its
# file in $PINS to the tool by the environment or by the file's name, never on a command line.
set -eu
umask 077
set -a
. "/etc/kepil/hsm-$PARTITION.env"
set +a
activation=$PINS/hsm-$PARTITION.pin
config=/etc/kepil/openssl-$PARTITION.cnf
# A local token's files stay the HSM account's.
token() {
  PIN="$(cat "$activation")" ${SOFTHSM2_CONF:+runuser -u kepil-hsm --} \
    pkcs11-tool --module "$KEPIL_HSM_MODULE" --token-label "$PARTITION" --login --pin env:PIN "$@"
}
# What the module says of the partition's token, its serial number among it. A module that says nothing was not reached.
token_slots() {
  said=$(${SOFTHSM2_CONF:+runuser -u kepil-hsm --} pkcs11-tool --module "$KEPIL_HSM_MODULE" --list-token-slots |
    awk -v label="$PARTITION" '/^Slot/ { found = 0 } /token label/ { found = ($NF == label) } found')
  [ -n "$said" ] || {
    echo "partition $PARTITION: $KEPIL_HSM_MODULE names no token of it: is its HSM reached?" >&2
    return 1
  }
  printf '%s\n' "$said"
}
ssl() { OPENSSL_CONF=$config openssl "$@"; }
# The SHA-256 of the public key of $KEY, from its SubjectPublicKeyInfo.
fingerprint() {
  der=$(mktemp)
  ssl pkey -in "$KEY" -passin "file:$activation" -pubout -outform DER -out "$der"
  sha256sum "$der" | cut -d' ' -f1
  rm "$der"
}
