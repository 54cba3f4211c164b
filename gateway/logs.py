"""How the gateway's programs log: constant texts with fields, to standard error, as text for people or JSON.

Standard output is for results, such as the `ready` line that scripts wait for.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from gateway.redact import redact

__all__ = ["log_of_libraries", "make_log"]


def make_log(
    level: str = "info", style: Literal["auto", "text", "json"] = "auto", *, secrets: Iterable[str] = ()
) -> FilteringBoundLogger:
    """Make the root logger.

    Args:
        level: `debug`, `info`, `warning` or `error`; what is below it costs next to nothing.
        style: `auto` writes text on a terminal and JSON elsewhere.
        secrets: What must not be in any line, whatever happens; looked at for each line, so it may still grow.
    """
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True)]
    ending: list[Processor] = (
        # Plain tracebacks: the decorated ones show local variables, and those hold keys and audio.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )

    def redacted(_: Any, __: str, line: Any) -> str:
        return redact(line, secrets)

    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[*shared, *ending, redacted],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    bound: FilteringBoundLogger = log.bind()  # what `wrap_logger` gives makes a new logger for each line, told or not
    return bound


class _Handler(logging.Handler):
    """Hands on what libraries log."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "text": record.getMessage()[:500]}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._log.log(record.levelno, "a library says", **fields)


@contextmanager
def log_of_libraries(log: FilteringBoundLogger) -> Iterator[None]:
    """Have the warnings of libraries go the same way as our own lines while the context lasts, in the whole process."""
    handler = _Handler(log)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
