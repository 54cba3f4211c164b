"""How the gateway's programs log: constant texts with fields, to standard error, as text for people or JSON.

Standard output is for results, such as the `ready` line that scripts wait for.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import FilteringBoundLogger, Processor

__all__ = ["make_log"]


def make_log(level: str = "info", style: Literal["auto", "text", "json"] = "auto") -> FilteringBoundLogger:
    """Make the root logger.

    Args:
        level: `debug`, `info`, `warning` or `error`; what is below it costs next to nothing.
        style: `auto` writes text on a terminal and JSON elsewhere.
    """
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True)]
    ending: list[Processor] = (
        # Plain tracebacks: the decorated ones show local variables, and those hold keys and audio.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    return log
