# What shares gave lies in memory and opens the token, which is then told on what an interruption broke off (pin_forth.sh). What
# earlier releases left of it on the disk goes.
case $(stat --file-system --format %T "$PINS") in
  tmpfs | ramfs) ;;
  *) echo "$PINS is not in memory: nothing that opens partition $PARTITION may lie there" >&2; exit 1 ;;
esac
if ! opens "$pin.pin" && ! { [ -e "$pin-next.pin" ] && opens "$pin-next.pin"; }; then
  echo "what the shares give does not open partition $PARTITION: are they those of its last activation data?" >&2
  exit 1
fi
for left in "/etc/kepil/credentials/hsm-$PARTITION"*pin; do
  [ ! -e "$left" ] || shred --remove "$left"
done
