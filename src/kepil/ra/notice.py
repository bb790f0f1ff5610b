"""Word to the subscriber that the certificate is issued (CP-4.4), handed to the host's own mail transport.

The transport queues, tries again and delivers. The message holds no names and no number of a person (CP-9.4).
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from uuid import UUID

from kepil.errors import KepilError
from kepil.ra.settings import Mail

TIMEOUT_SECONDS = 10

SUBJECT = "Тіркеу куәлігі шығарылды / Сертификат выпущен / Certificate issued"
TEXT = """\
Сіздің өтінішіңіз бойынша тіркеу куәлігі шығарылды.
По Вашей заявке выпущен сертификат.
A certificate was issued on your application.

Өтініш / заявка / application: {application}
Сериялық нөмірі / серийный номер / serial number: {serial}

Егер Сіз өтініш бермеген болсаңыз, тіркеу орталығына дереу хабарласыңыз.
Если Вы не подавали заявку, немедленно обратитесь в центр регистрации.
If you did not apply, turn to the registration authority at once.
"""

Post = Callable[[EmailMessage], None]


class NoticeError(KepilError):
    """The mail transport did not take the message; nothing was sent."""


def notice(application: UUID, serial: str, email: str, sender: str) -> EmailMessage:
    """The message. Its Message-ID follows from the application, so that one sent twice is known as the same."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = email
    message["Subject"] = SUBJECT
    message["Message-ID"] = f"<{application}@{sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: no vacation answers
    message.set_content(TEXT.format(application=application, serial=serial))
    return message


def poster(mail: Mail) -> Post:
    """How to hand messages to the transport. Raises NoticeError."""

    def post(message: EmailMessage) -> None:
        try:
            with smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_SECONDS) as transport:
                transport.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            # A refusal quotes the address, which has no place in a log (CP-9.4).
            raise NoticeError(
                f"the mail transport {mail.host} port {mail.port} took nothing: {type(error).__name__}; see its log"
            ) from error

    return post
