# Let apt take PACKAGE, and nothing else, from another suite of the Debian mirror that this host uses already:
# sh suite.sh SUITE PACKAGE. Prints the files that it changed; with CHECK set, those that it would change.
set -eu
suite=$1 package=$2
. /etc/os-release
mirror=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$VERSION_CODENAME/InRelease'.*|\1|p" | head -n 1)
if [ -z "$mirror" ]; then
  echo "no source of $VERSION_CODENAME under /etc/apt: name this host's Debian mirror there, then run this again" >&2
  exit 1
fi
put() {
  content=$(cat)
  [ "$content" != "$(cat "$1" 2>/dev/null)" ] || return 0
  echo "$1"
  [ -n "${CHECK:-}" ] || printf '%s\n' "$content" > "$1"
}
# A mirror that was carried across an air gap is older than testing's Release files are valid; their signatures count.
put "/etc/apt/sources.list.d/$suite.sources" <<END
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp
END
put "/etc/apt/preferences.d/$package" <<END
Package: *
Pin: release n=$suite
Pin-Priority: 1

Package: $package
Pin: release n=$suite
Pin-Priority: 500
END
