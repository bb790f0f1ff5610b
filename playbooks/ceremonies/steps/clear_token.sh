# Where ceremony $CEREMONY began to make the token of partition $PARTITION on this host, and was interrupted before that was on record,
# remove the token and what opens it, and say so. Any other token stays: no ceremony removes what it did not make.
set -eu
folder=/var/lib/kepil-hsm/$PARTITION
pin=$PINS/hsm-$PARTITION.pin
if [ "$(cat "$folder/begun" 2>/dev/null)" = "$CEREMONY" ]; then
  if [ -e "$pin" ]; then shred --remove "$pin"; fi
  find "$folder" -mindepth 1 ! -name begun -delete
  rm "$folder/begun"
  echo removed
fi
