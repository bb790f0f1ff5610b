#!/bin/sh
# Bakes one layer: sh bake.sh BASE TAG PACKAGE... Services stay off, now (policy-rc.d) and when a host starts (the preset): it runs
# what its roles say. A package of another suite than the base's is written PACKAGE/SUITE; apt is told of it as role gost tells it.
set -eu
base=$1 tag=$2
shift 2
echo "baking $tag: $*"
suite_script=$(base64 --wrap=0 "$(dirname "$0")/../../roles/gost/files/suite.sh")
suites=:
for package in "$@"; do
  case $package in
    */*) suites="$suites && echo $suite_script | base64 --decode | sh -s ${package#*/} ${package%/*}" ;;
  esac
done
docker build --quiet --force-rm --tag "$tag" - >/dev/null <<EOF
FROM $base
ENV DEBIAN_FRONTEND=noninteractive
RUN echo 'exit 101' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \\
  && mkdir /etc/systemd/system-preset && echo 'disable *' > /etc/systemd/system-preset/00-off.preset \\
  && $suites \\
  && apt-get update -qq \\
  && apt-get install -qq -y --no-install-recommends $(echo "$@" | sed 's|/[a-z]*||g') \\
  && rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/lib/apt/lists/* /usr/sbin/policy-rc.d /etc/systemd/system-preset
EOF
