# Print the serial number of the token on partition $PARTITION of this host; nothing where there is none yet.
set -eu
slots=$(SOFTHSM2_CONF="/etc/kepil/hsm/$PARTITION.conf" runuser -u kepil-hsm -- \
  pkcs11-tool --module "$MODULE" --list-token-slots)
printf '%s' "$slots" | sed -n 's/^ *serial num *: *//p'
