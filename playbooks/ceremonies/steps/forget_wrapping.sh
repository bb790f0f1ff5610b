# Destroy what opens the wrapping key of partition $PARTITION on this host, its private half, and what an interruption left of the rest.
set -eu
for file in "/etc/kepil/credentials/hsm-$PARTITION-wrapping.pin" "/etc/kepil/ceremony/$PARTITION-wrapping.pem" \
  "/etc/kepil/ceremony/$PARTITION.wrapped" "/etc/kepil/ceremony/$PARTITION.tar"; do
  if [ -e "$file" ]; then shred --remove "$file"; fi
done
