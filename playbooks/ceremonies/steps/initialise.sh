# Initialise partition $PARTITION of this host and print its token's serial number. PINs are made here, stay in files of
# root's, and go to the tool by its environment: never on a command line, never to the controller's log.
set -eu
umask 077
export SOFTHSM2_CONF="/etc/kepil/hsm/$PARTITION.conf"
credentials=/etc/kepil/credentials/hsm-$PARTITION
for pin in so-pin pin; do
  [ -s "$credentials.$pin" ] || openssl rand -hex 16 > "$credentials.$pin"
done
export SO_PIN="$(cat "$credentials.so-pin")" USER_PIN="$(cat "$credentials.pin")"
hsm() { runuser -u kepil-hsm -- pkcs11-tool --module "$MODULE" "$@"; }
hsm --slot-index 0 --init-token --label "$PARTITION" --so-pin env:SO_PIN >&2
hsm --token-label "$PARTITION" --init-pin --so-pin env:SO_PIN --pin env:USER_PIN >&2
hsm --list-token-slots | sed -n 's/^ *serial num *: *//p'
