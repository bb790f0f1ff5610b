# On the offline root host: take back the CRL of $NAME that ceremony $CEREMONY signed. The one before it stands again, and the name of
# its copy, which goes out, is printed; the number of the one that is withdrawn stays taken, and so that one goes out beside it.
folder=/etc/kepil/ceremony
former=$folder/$NAME.before-$CEREMONY.crl
if [ -s "$former" ]; then
  if [ -e "$folder/$NAME.crl" ] && ! cmp -s "$former" "$folder/$NAME.crl"; then
    mv "$folder/$NAME.crl" "$folder/$NAME.withdrawn.crl"
  fi
  cp "$former" "$folder/$NAME.crl.new"
  mv "$folder/$NAME.crl.new" "$folder/$NAME.crl"
  cp "$former" "$folder/$NAME.former.crl"
  echo "$NAME.former.crl"
  if [ -e "$folder/$NAME.withdrawn.crl" ]; then echo "$NAME.withdrawn.crl"; fi
elif [ -e "$former" ]; then
  rm -f "$folder/$NAME.crl"
fi
