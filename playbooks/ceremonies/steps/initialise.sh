# Initialise partition $PARTITION of this host and print its token's serial number. PINs are made here and go to the tool by its
# environment: never on a command line, never to the controller's log. The user's stays in a file of root's, for as long as docs/adr/0022
# says. That of the token's security officer, which could set another for the user, is in no file and is forgotten with this script.
set -eu
umask 077
export SOFTHSM2_CONF="/etc/kepil/hsm/$PARTITION.conf"
pin=$PINS/hsm-$PARTITION.pin
install -d -m 0700 "$PINS"
[ -z "$CEREMONY" ] || printf '%s' "$CEREMONY" > "/var/lib/kepil-hsm/$PARTITION/begun" # until it is on record (clear_token.sh)
[ -s "$pin" ] || openssl rand -hex 16 > "$pin"
export SO_PIN="$(openssl rand -hex 16)" USER_PIN="$(cat "$pin")"
hsm() { runuser -u kepil-hsm -- pkcs11-tool --module "$MODULE" "$@"; }
hsm --slot-index 0 --init-token --label "$PARTITION" --so-pin env:SO_PIN >&2
hsm --token-label "$PARTITION" --init-pin --so-pin env:SO_PIN --pin env:USER_PIN >&2
hsm --list-token-slots | sed -n 's/^ *serial num *: *//p'
