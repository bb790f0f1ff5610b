#!/bin/sh
# Bakes one layer: sh bake.sh BASE TAG PACKAGE... Services stay off: a host starts what its roles say.
set -eu
base=$1 tag=$2
shift 2
echo "baking $tag: $*"
docker build --quiet --force-rm --tag "$tag" - >/dev/null <<EOF
FROM $base
ENV DEBIAN_FRONTEND=noninteractive
RUN echo 'exit 101' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \\
  && apt-get update -qq \\
  && apt-get install -qq -y --no-install-recommends $* \\
  && rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/lib/apt/lists/* /usr/sbin/policy-rc.d
EOF
