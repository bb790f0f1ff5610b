"""Pulumi's program, run as the engine runs it, against mocks that record what is registered."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, set_all_config, set_mocks, settings
from pulumi.runtime.proto.resource_pb2 import RegisterResourceRequest, RegisterResourceResponse

from tests.conftest import PROJECT

NETWORK = "docker:index/network:Network"
CONTAINER = "docker:index/container:Container"
PROVIDER = "pulumi:providers:docker"
IMAGE = "sha256:of-"
IDENTITY = "id-of-"


@dataclass(frozen=True)
class Registered:
    """What the program asked the engine to make, in order of registration."""

    requests: list[RegisterResourceRequest] = field(default_factory=list)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """Inputs of all resources of a kind, by the resource's name."""
        return {request.name: self.inputs[request.name] for request in self.requests if request.type == kind}

    def request(self, name: str) -> RegisterResourceRequest:
        """The request that registered a docker resource."""
        return next(request for request in self.requests if request.name == name and request.type.startswith("docker:"))


class Mocks(mocks.Mocks):
    """An engine on which every image is there, and every resource is made as it was asked for."""

    def __init__(self, registered: Registered) -> None:
        self.registered = registered

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Look up an image."""
        return {"id": IMAGE + args.args["name"]}, []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Make a resource; components have no inputs."""
        if args.custom:
            self.registered.inputs[args.name] = args.inputs
        return IDENTITY + args.inputs.get("name", args.name), args.inputs


class Monitor(mocks.MockMonitor):
    """Keeps the requests, which say what mocks are not told: protection, dependencies, provider."""

    def RegisterResource(self, request: RegisterResourceRequest) -> RegisterResourceResponse:  # noqa: N802 - gRPC's name
        """Record, then register."""
        if request.type != "pulumi:pulumi:Stack":
            self.mocks.registered.requests.append(request)  # type: ignore[attr-defined]
        response: RegisterResourceResponse = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        return response


def register(stack: str, **config: str) -> Registered:
    """Run the program for a stack with its settings, and return what it registered."""
    asyncio.set_event_loop(asyncio.SelectorEventLoop())  # Pulumi drives no other kind, and earlier tests leave theirs
    registered = Registered()
    recorder = Mocks(registered)
    set_mocks(recorder, project="kepil", stack=stack, preview=False, monitor=Monitor(recorder))
    set_all_config({f"kepil:{key}": value for key, value in config.items()})

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[None]:
        runpy.run_path(str(PROJECT / "pulumi" / "__main__.py"), run_name="__main__")
        outputs = settings.get_root_resource().outputs  # type: ignore[union-attr]
        return pulumi.Output.from_input(dict(outputs)).apply(registered.outputs.update)

    try:
        program()
    except BaseException as error:
        error.add_note(f"registered: {[request.name for request in registered.requests]}")
        error.registered = registered  # type: ignore[attr-defined]
        raise
    return registered


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    """A `docker` command that answers what the program asks of this machine's engine; call it to change the answers."""
    folder = tmp_path_factory.mktemp("docker")

    def answer(cgroup: str = "2", networks: str = "") -> None:
        answers = f"info) echo {cgroup} ;;\nnetwork) printf '%s' '{networks}' ;;\nps) ;;\n*) exit 1 ;;"
        script = f"#!/bin/sh\ncase $1 in\n{answers}\nesac\n"
        (folder / "docker").write_text(script, encoding="utf-8")

    answer()
    (folder / "docker").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=":")
        yield answer


@pytest.fixture(scope="package")
def development(engine: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """Stack dev, where no ceremony was held."""
    return register("dev", environment="development", ceremonies=str(tmp_path_factory.mktemp("ceremonies")))


@pytest.fixture(scope="package")
def production() -> Registered:
    """Stack production."""
    return register("production", environment="production")
