# Make the key pair $NAME of type $KEY_TYPE and print the SHA-256 of its public key. The two halves find each other by
# their id.
token --keypairgen --key-type "$KEY_TYPE" --label "$NAME" --id "$(openssl rand -hex 16)" --usage-sign --sensitive >&2
fingerprint
