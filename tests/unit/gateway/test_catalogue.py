"""GW-13: an operator's export is taken as a whole or refused with its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from kepil.gateway.catalogue import read_catalogue, read_export, write
from kepil.gateway.located import GatewayError
from tests.unit.gateway.conftest import BIN, OTHER_BIN


def export(folder: Path, *lines: str, name: str = "telecom") -> Path:
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_networks_addresses_and_ranges_are_read(tmp_path: Path) -> None:
    path = export(tmp_path, "BIN;Network;Name", f"{BIN};198.18.0.0/24;Министрлік", f"{BIN};198.18.1.0-198.18.1.2;")
    assert [str(row.network) for row in read_export(path)] == ["198.18.0.0/24", "198.18.1.0/31", "198.18.1.2/32"]


def test_what_is_kept_is_joined_and_sorted(tmp_path: Path) -> None:
    rows = read_export(export(tmp_path, "network,bin", f"198.18.1.0/25,{BIN}", f"198.18.1.128/25,{BIN}"))
    kept = tmp_path / "kept" / "telecom.csv"
    write(kept, rows)
    assert kept.read_text() == f"network,bin,name\n198.18.1.0/24,{BIN},\n"
    assert [row.network for row in read_catalogue(kept.parent)["telecom"]] == [rows[0].network.supernet()]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "telecom.csv:1: "),
        (["address,bin"], "telecom.csv:1: column network is missing"),
        (["network,bin", "198.18.0.0/24,123456789012"], "telecom.csv:2: '123456789012' is no BIN"),
        (["network,bin", "198.18.0.0/24"], "telecom.csv:2: '' is no BIN"),
        (["network,bin", f"198.18.0.0,{BIN}", f"198.18.0.300,{BIN}"], "telecom.csv:3: .*198.18.0.300"),
        (["network,bin", f"0.0.0.0-255.255.255.255,{BIN}"], "telecom.csv:2: .* is broader than /8"),
        (["network,bin", f"198.18.0.9-198.18.0.1,{BIN}"], "telecom.csv:2: "),
        (
            ["network,bin", f"198.18.0.0/24,{BIN}", f"198.18.0.9,{OTHER_BIN}"],
            "telecom.csv:3: 198.18.0.9/32 .* overlaps 198.18.0.0/24 .* at .*telecom.csv:2",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(GatewayError, match=reason):
        read_export(export(tmp_path, *lines))


def test_two_operators_list_no_address_of_different_users(tmp_path: Path) -> None:
    export(tmp_path, "network,bin", f"198.18.0.0/24,{BIN}", name="one")
    export(tmp_path, "network,bin", f"198.18.0.9,{OTHER_BIN}", name="two")
    with pytest.raises(GatewayError, match=r"two.csv:2: .* overlaps .*one.csv:2"):
        read_catalogue(tmp_path)
