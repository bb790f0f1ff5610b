"""The networks of one container engine and the hosts that stand in them, as Pulumi resources."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from kepil.estate.resources import Container, Ground, Network


class EstateNetwork(pulumi.ComponentResource):
    """A network a zone and a container a host, on one engine.

    `subnets` (by zone) and `addresses` (by host) are what the engine was told, as outputs. A resource is named after
    the ground and what it is for; on replacement the old one goes first, since both bear the same name and subnet.
    """

    subnets: dict[str, pulumi.Output[str | None]]
    addresses: dict[str, pulumi.Output[str | None]]

    def __init__(self, ground: Ground, cgroup: str, opts: pulumi.ResourceOptions | None = None) -> None:
        """`cgroup` is the engine's version of cgroups, 1 or 2. Protection and provider in `opts` hold for all parts."""
        super().__init__("kepil:estate:EstateNetwork", ground["name"], None, opts)
        self._ground = ground["name"]
        self._cgroup = cgroup
        networks = {network["name"]: self._network(network) for network in ground["networks"]}
        hosts = {host["name"]: self._host(host, networks) for host in ground["hosts"]}
        self.subnets = {
            network["zone"]: networks[network["name"]].ipam_configs.apply(lambda configs: configs[0].subnet)
            for network in ground["networks"]
        }
        self.addresses = {
            host["name"]: hosts[host["name"]].networks_advanced.apply(
                lambda networks: networks[0].ipv4_address if networks else None
            )
            for host in ground["hosts"]
            if host["network"]
        }
        self.register_outputs({"subnets": self.subnets, "addresses": self.addresses})

    def _network(self, network: Network) -> docker.Network:
        return docker.Network(
            f"{self._ground}-{network['zone']}",
            name=network["name"],
            driver=network["driver"],
            internal=network["internal"],
            ipam_configs=[docker.NetworkIpamConfigArgs(subnet=network["subnet"], gateway=network["gateway"])],
            options=network["options"],
            labels=[docker.NetworkLabelArgs(label=key, value=value) for key, value in network["labels"].items()],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def _host(self, host: Container, networks: dict[str, docker.Network]) -> docker.Container:
        engine = host["cgroup"][self._cgroup]
        # The image must be on the engine already: a look-up pulls none, and the engine names images by their digests.
        image = docker.get_remote_image_output(name=host["image"], opts=pulumi.InvokeOutputOptions(parent=self))
        return docker.Container(
            f"{self._ground}-{host['name']}",
            name=host["container"],
            hostname=host["name"],
            image=image.id,
            command=host["command"],
            envs=[f"{key}={value}" for key, value in host["env"].items()],
            capabilities=docker.ContainerCapabilitiesArgs(adds=host["capabilities"]),
            security_opts=host["security_opts"],
            tmpfs=dict.fromkeys(host["tmpfs"], ""),
            volumes=[_volume(volume) for volume in engine["volumes"]],
            cgroupns_mode=engine["cgroupns_mode"],
            stop_signal=host["stop_signal"],
            restart=host["restart"],
            # The provider makes the container in this mode, then connects it. Named here, the zone's network would be
            # joined at once, with whatever address is free, and the fixed address would be lost.
            network_mode="bridge" if host["network"] else "none",
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=networks[name].id, ipv4_address=address)
                for name, address in (
                    (host["network"], host["address"]),
                    *((link["name"], link["ipv4_address"]) for link in host["links"]),
                )
                if name
            ],
            labels=[docker.ContainerLabelArgs(label=key, value=value) for key, value in host["labels"].items()],
            must_run=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )


def _volume(volume: str) -> docker.ContainerVolumeArgs:
    outside, inside, mode = volume.split(":")
    return docker.ContainerVolumeArgs(host_path=outside, container_path=inside, read_only=mode == "ro")
