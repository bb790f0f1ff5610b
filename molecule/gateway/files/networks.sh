#!/bin/sh
# networks.sh USERS ORIGINS: a network of users and one of origins, each with the addresses given, joined by this host.
set -eu
link() { # NAMESPACE INTERFACE ADDRESSES
  namespace=$1 interface=$2 first=${3%%,*}
  network=${first%.*}
  ip netns add "$namespace"
  ip link add "$interface" type veth peer name eth0 netns "$namespace"
  ip address add "$network.1/24" dev "$interface"
  ip link set "$interface" up
  ip -netns "$namespace" link set lo up
  ip -netns "$namespace" link set eth0 up
  for address in $(echo "$3" | tr , ' '); do ip -netns "$namespace" address add "$address/24" dev eth0; done
  ip -netns "$namespace" route add default via "$network.1"
}
link users users0 "$1"
link origins uplink0 "$2"
