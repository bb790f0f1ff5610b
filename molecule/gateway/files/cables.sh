#!/bin/sh
# cables.sh FIRST SECOND: two cables between containers, for users and for origins; at the second they are up, and its address is .3.
# What a container's own kernel settings are, it may set: a machine may.
set -eu
pid() { docker inspect --format '{{.State.Pid}}' "$1"; }
first=$(pid "$1") second=$(pid "$2")
for name in users uplink; do ip link add "${name}1" netns "$first" type veth peer name "${name}0" netns "$second"; done
shift 2
for end in "$@"; do # INTERFACE=ADDRESS
  nsenter --target "$second" --net sh -c "ip address add ${end#*=} dev ${end%=*} && ip link set ${end%=*} up"
done
for each in "$first" "$second"; do nsenter --target "$each" --mount mount -o remount,rw /proc/sys; done
