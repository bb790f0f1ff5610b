# Destroy what opens the wrapping key of partition $PARTITION on this host, and its private half.
for file in "/etc/kepil/credentials/hsm-$PARTITION-wrapping.pin" "/etc/kepil/ceremony/$PARTITION-wrapping.pem"; do
  if [ -e "$file" ]; then shred --remove "$file"; fi
done
