# Restore partition $PARTITION from what was carried in, in place of what this module had of it.
set -eu
umask 077
folder=/etc/kepil/ceremony
token=/var/lib/kepil-hsm/$PARTITION
openssl cms -decrypt -binary -inform DER -in "$folder/$PARTITION.wrapped" -inkey "$folder/$PARTITION-wrapping.pem" \
  -passin "file:/etc/kepil/credentials/hsm-$PARTITION-wrapping.pin" -out "$folder/$PARTITION.tar"
find "$token" -mindepth 1 -delete
tar --extract --directory "$token" --file "$folder/$PARTITION.tar"
chown -R kepil-hsm:kepil-hsm "$token"
chmod 0700 "$token"
shred --remove "$folder/$PARTITION.tar" "$folder/$PARTITION.wrapped"
