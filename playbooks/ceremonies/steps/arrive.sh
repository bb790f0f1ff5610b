# On the offline root host: take $CARRIED off the medium of its name, if all of it is as the people of $CEREMONY (on standard input)
# signed it, and its manifest is the one of which the journal has the SHA-256, $MANIFEST. The medium goes, whatever it is.
folder=/etc/kepil/ceremony
trap 'rm -rf "$folder/arriving" "$folder/arrived"' EXIT
rm -rf "$folder/arrived"
kepil ceremony medium check "$folder/arriving/$CARRIED" --people /dev/stdin --ceremony "$CEREMONY" --environment "$ENVIRONMENT" \
  --direction to-root --sha256 "$MANIFEST" --out "$folder/arrived"
case $CARRIED in
  *.state) ;; # a folder, which take_state.sh takes
  *) mv "$folder/arrived/$CARRIED" "$folder/$CARRIED" ;;
esac
