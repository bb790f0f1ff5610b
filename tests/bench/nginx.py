"""nginx for the benchmarks: by itself, and before a service with the very site that its role renders."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import jinja2

from tests.bench.common import ROLES, processes, serving


@contextmanager
def serving_kepil_by_nginx(service: str, settings: Path, port: int, **variables: object) -> Iterator[str]:
    """The same behind nginx, with the site that the service's role renders from `variables`; its URL."""
    folder, path = settings.parent, settings.parent / f"{service}.sock"
    names = {"socket": path, "port": port, "cache": Path("/dev/shm", service)}  # noqa: S108 -- in memory, as /run is
    given = {**variables, **{f"__{service}_{name}": value for name, value in names.items()}, "estate_domain": "test"}
    for role, template, file in (
        (service, f"{service}.conf.j2", folder / "site.conf"),
        ("web_server", "kepil-proxy.conf.j2", Path("/etc/nginx/kepil-proxy.conf")),
    ):
        text = (ROLES / role / "templates" / template).read_text()
        file.write_text(jinja2.Environment(autoescape=False).from_string(text).render(given))  # noqa: S701 - no HTML
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1024)
        with (
            processes(service, settings, listener),
            serving_nginx(port, folder, f"include {folder}/site.conf;") as url,
        ):
            yield url


def serving_nginx(port: int, folder: Path, sites: str) -> AbstractContextManager[str]:
    """An nginx with these sites, one of which listens on the port; its URL."""
    (folder / f"nginx-{port}.conf").write_text(
        f"user root; daemon off; worker_processes auto; pid {folder}/nginx-{port}.pid; error_log stderr;\n"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {sites} }}\n"
    )
    return serving(port, "nginx", "-c", f"{folder}/nginx-{port}.conf", folder=folder)
