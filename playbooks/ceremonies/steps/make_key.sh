# Make the key pair $NAME, as $MAKING says, unless $FOUND says that it is there; print the SHA-256 of its public key, then the token's
# serial number. On a token its two halves find each other by their id. A file is encrypted with the partition's activation data before
# it is written, and is for those who may use the partition.
make() {
  case $KEY in
    pkcs11:*)
      token --keypairgen --key-type "$MAKING" --label "$NAME" --id "$(openssl rand -hex 16)" --usage-sign --sensitive >&2
      ;;
    *)
      # shellcheck disable=SC2086 # several words
      ssl genpkey $MAKING | ssl pkcs8 -topk8 -scrypt -passout "file:$activation" -out "$KEY.new"
      chgrp --reference="${KEY%/*}" "$KEY.new"
      chmod 0640 "$KEY.new"
      mv "$KEY.new" "$KEY"
      ;;
  esac
}
slots=$(token_slots) # first: a module that does not answer makes no key
if [ -z "$FOUND" ]; then make; fi
fingerprint
printf '%s\n' "$slots" | sed -n 's/^ *serial num *: *//p'
