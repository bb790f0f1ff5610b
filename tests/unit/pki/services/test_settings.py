"""Settings files, right and wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from kepil.pki.settings import CaSettings, KeySettings, OcspSettings, SettingsError, TspSettings

UNIT = {"certificate": "/etc/kepil/pki/tsp-rsa.crt", "key": "pkcs11:token=tsp", "policy": "1.2.398.3.3.2.6.2"}
KEY = KeySettings(certificate=Path("/c"), key="/k", activation=Path("hsm-ocsp.pin"))


def written(folder: Path, content: Any) -> Path:
    path = folder / "service.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_defaults(tmp_path: Path) -> None:
    settings = TspSettings.load(written(tmp_path, {"units": [UNIT]}))
    assert (settings.accuracy_ms, settings.milliseconds, settings.clock.source) == (1000, True, "chrony")
    assert settings.units[0].digest == "sha256"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"units": []}, "units: "),
        ({"units": [UNIT | {"polcy": "1.2.3"}]}, r"units\.0\.polcy: Extra inputs"),
        ({"units": [UNIT | {"policy": "policy"}]}, r"units\.0\.policy"),
        ({"units": [UNIT], "accuracy_ms": 0}, "accuracy_ms"),
        ({"units": [UNIT], "accuracy_ms": 1000, "milliseconds": False}, "whole seconds"),
        ({"units": [UNIT], "clock": {"source": "sundial"}}, r"clock\.source"),
        ("{", "Invalid JSON"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        TspSettings.load(written(tmp_path, content))
    assert "service.json" in str(caught.value)


@pytest.mark.parametrize(("hours", "taken"), [(None, 9), (8, 8), (240, 240), (7.9, None), (240.1, None)])
def test_how_long_an_ocsp_response_may_be_valid(tmp_path: Path, hours: float | None, taken: float | None) -> None:
    """Baseline Requirements 4.9.10."""
    responder = {"authority": "nca-rsa", "issuer": "/i", "certificate": "/c", "key": "/k"}
    given = {"database": "", "responders": [responder]} | ({} if hours is None else {"validity_hours": hours})
    path = written(tmp_path, given)
    if taken is None:
        with pytest.raises(SettingsError, match="validity_hours"):
            OcspSettings.load(path)
    else:
        assert OcspSettings.load(path).validity_hours == taken


def test_a_missing_file_or_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"missing\.json: No such file"):
        CaSettings.load(tmp_path / "missing.json")
    monkeypatch.delenv("KEPIL_SETTINGS", raising=False)
    with pytest.raises(SettingsError, match="KEPIL_SETTINGS is not set"):
        OcspSettings.from_environment()


def test_activation_comes_from_the_units_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/kepil-ocsp@1.service")
    assert KEY.activation_file == Path("/run/credentials/kepil-ocsp@1.service/hsm-ocsp.pin")
    assert KEY.model_copy(update={"activation": Path("/etc/pin")}).activation_file == Path("/etc/pin")
    assert KEY.model_copy(update={"activation": None}).activation_file is None
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(SettingsError, match="CREDENTIALS_DIRECTORY is not set"):
        _ = KEY.activation_file
