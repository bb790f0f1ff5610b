# Wrap partition $PARTITION as its module keeps it, keys encrypted by the module, and print the SHA-256 of what comes out. The
# wrapping is CMS AuthEnvelopedData (RFC 5083), AES-256-GCM.
set -eu
umask 077
wrapped=/etc/kepil/ceremony/$PARTITION.wrapped
tar --create --directory "/var/lib/kepil-hsm/$PARTITION" . |
  openssl cms -encrypt -binary -aes-256-gcm -outform DER -recip "/etc/kepil/ceremony/$PARTITION-wrapping.crt" -out "$wrapped"
sha256sum "$wrapped" | cut -d ' ' -f 1
