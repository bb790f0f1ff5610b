"""Word to the subscriber, over SMTP to a real server (CP-4.4)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller

from kepil.ra.notice import NoticeError, notice, poster
from kepil.ra.settings import Mail

APPLICATION = UUID("00000000-0000-4000-8000-000000000001")
SENDER = "registration@example.test"


class Box:
    """Keeps what comes; refuses the address that nobody has."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if address.startswith("nobody"):
            return f"550 {address} is nobody"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 queued"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def box() -> Iterator[tuple[Box, Mail]]:
    """A mail transport, and the settings that lead to it."""
    kept = Box()
    controller = Controller(kept, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield kept, Mail(sender=SENDER, host="127.0.0.1", port=controller.port)
    controller.stop()


@pytest.mark.clause("CP-4.4")
def test_the_subscriber_reads_it_in_three_languages(box: tuple[Box, Mail]) -> None:
    kept, mail = box
    poster(mail)(notice(APPLICATION, "0abc", "asan@example.kz", SENDER))
    [envelope] = kept.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["asan@example.kz"])
    message = message_from_bytes(envelope.content, policy=policy.default)
    text = message.get_content()
    for words in ("тіркеу куәлігі шығарылды", "выпущен сертификат", "certificate was issued", "0abc", str(APPLICATION)):
        assert words in text
    assert message["Message-ID"] == f"<{APPLICATION}@example.test>"
    assert message["Auto-Submitted"] == "auto-generated"


@pytest.mark.clause("CP-9.4")
def test_a_refusal_does_not_tell_the_address(box: tuple[Box, Mail]) -> None:
    """Threat: the service's log fills with subscribers' addresses."""
    with pytest.raises(NoticeError) as refused:
        poster(box[1])(notice(APPLICATION, "0abc", "nobody@example.kz", SENDER))
    assert "nobody" not in str(refused.value)


def test_a_transport_that_is_not_there_is_named() -> None:
    port = free_port()
    with pytest.raises(NoticeError, match=f"port {port} took nothing: ConnectionRefusedError"):
        poster(Mail(sender=SENDER, port=port))(notice(APPLICATION, "0abc", "asan@example.kz", SENDER))
