# Make the activation data that follow, once.
if [ ! -e "$pin-next.pin" ] && [ ! -e "$pin-last.pin" ]; then openssl rand -hex 16 > "$pin-next.pin"; fi
