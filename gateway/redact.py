"""The last line of defence for secrets in logs: no code of ours logs any, but errors of others may quote what they got.

Known secrets are taken out wherever they stand, and what has the look of one: tokens of streams, keys of Telnyx, bearer
tokens, phone numbers in E.164, the user part of SIP addresses, passwords and keys in URLs. A number without its `+`
cannot be told from any other, so it is up to the code not to log one.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["redact"]

_TEXT: Final = r"[^\s\"'\\,;<>]"
_LOOKS: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(rf"(?i)\b(bearer )(?!realm){_TEXT}+"), r"\1[key]"),
    (re.compile(r"\bKEY[0-9A-Za-z]{8,}(?:_[0-9A-Za-z_-]+)?"), "[key]"),
    (re.compile(rf"(?i)([?&](?:[a-z_]*key|[a-z_]*token|secret|password|sig|signature)=)(?:(?!&){_TEXT})+"), r"\1[key]"),
    (re.compile(r"(://)[^/\s:@\"']*:[^/\s@\"']+@"), r"\1[key]@"),
    # Of a stream, see `gateway.server.admission`: 48 octets as base64. An id of Telnyx's stands behind a colon, and a
    # SHA-256 is as long in hex digits.
    (re.compile(r"(?<![\w:-])(?![0-9a-f]{64}(?![\w-]))[0-9A-Za-z_-]{64}(?![\w-])"), "[token]"),
    (re.compile(rf"(?i)\b(sips?:)(?:(?!@){_TEXT})+@"), r"\1[number]@"),
    (re.compile(rf"(?i)\b(tel:){_TEXT}+"), r"\1[number]"),
    (re.compile(r"(?:(?<![\w+])\+|%2B)[1-9][0-9]{6,14}(?![0-9])"), "[number]"),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Take secrets out of a text.

    Args:
        text: A line of a log.
        secrets: Those that are known; each of eight characters or more, as shorter ones may be part of anything.
    """
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "[key]")
    for pattern, instead in _LOOKS:
        text = pattern.sub(instead, text)
    return text
