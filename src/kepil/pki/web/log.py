"""Logs of the services and their timers: one JSON object a line on standard error, for the journal to ship on."""

import json
import logging
import sys
from datetime import UTC, datetime

from kepil.priority import prefix


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger and message; the traceback where there is one. The journal gets its priority too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return prefix(record.levelno, sys.stderr) + json.dumps(entry, ensure_ascii=False)


def configure_logging() -> None:
    """Send everything, uvicorn's messages too, to standard error as JSON lines.

    Requests are not logged: who asked about which certificate is personal data (CP-9.4).
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
