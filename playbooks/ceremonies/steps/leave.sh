# On the offline root host: write the medium of $CARRIED, with the record $RECORD beside it (on standard input) where there is one.
# $ALONG names files that go with it. Print the SHA-256 of its manifest.
folder=/etc/kepil/ceremony
leaving=$folder/leaving
rm -rf "$leaving"
install -d -m 0755 "$leaving"
set -- "$folder/$CARRIED"
if [ -n "$RECORD" ]; then
  cat > "$leaving/$RECORD"
  set -- "$@" "$leaving/$RECORD"
fi
for file in ${ALONG:-}; do set -- "$@" "$folder/$file"; done
kepil ceremony medium write "$leaving/$CARRIED" "$@" --ceremony "$CEREMONY" --environment "$ENVIRONMENT" \
  --direction from-root --step "$STEP" >&2
sha256sum < "$leaving/$CARRIED/manifest.json" | cut -d' ' -f1
