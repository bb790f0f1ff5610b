#!/bin/sh
# networks.sh USERS ORIGINS MOVING: on the first gateway, a network of users and one of origins, joined by it at .1, and by the second
# gateway, whose cables users1 and uplink1 are here already (cables.sh). MOVING goes by what the pair holds, .10 on either side.
set -eu
network() { # NAMESPACE INTERFACE CABLE ADDRESSES
  name=$1 interface=$2 cable=$3 prefix=${4%%,*}
  prefix=${prefix%.*}
  ip netns add "$name"
  ip -netns "$name" link set lo up
  ip -netns "$name" link add eth0 type bridge
  ip link add "$interface" type veth peer name first netns "$name"
  ip link set "$cable" netns "$name" name second
  for port in first second; do ip -netns "$name" link set "$port" master eth0 up; done
  ip -netns "$name" link set eth0 up
  ip address add "$prefix.1/24" dev "$interface"
  ip link set "$interface" up
  for address in $(echo "$4" | tr , ' '); do ip -netns "$name" address add "$address/24" dev eth0; done
  ip -netns "$name" route add default via "$prefix.1"
}
network users users0 users1 "$1"
users=$prefix
network origins uplink0 uplink1 "$2"
ip -netns users rule add from "$3" lookup 10
ip -netns users route add default via "$users.10" table 10
ip -netns origins route add "$3" via "$prefix.10"
