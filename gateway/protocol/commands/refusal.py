"""Telnyx's way of saying that a command is wrong: a list of errors, each with a code and the field to blame.

Source: Telnyx, "API error codes", and the examples of its OpenAPI description of July 2026.
"""

from typing import Any, Final

from pydantic import ValidationError

__all__ = ["TITLES", "refusals"]

TITLES: Final = {
    "10004": "Missing required parameter",
    "10023": "Invalid JSON",
    "10026": "Invalid type",
    "10027": "Unprocessable",
    "10032": "Invalid enumerated value",
    "10033": "Value outside of range",
    "90000": "Invalid recording format",
    "90001": "Invalid recording channels",
    "90007": "Invalid terminating digit",
    "90008": "Invalid valid digits",
    "90009": "Invalid loop",
    "90010": "Invalid payload",
    "90011": "Invalid payload type",
    "90012": "Invalid voice",
    "90013": "Invalid language",
    "90014": "Invalid DTMF digits",
    "90016": "Invalid stop",
    "90017": "Invalid client state",
    "90022": "Invalid minimum digits",
    "90023": "Invalid maximum digits",
    "90024": "Invalid maximum tries",
    "90025": "Invalid timeout",
    "90026": "Invalid inter-digit timeout",
    "90027": "Invalid DTMF duration",
    "90028": "Invalid timeout",
    "90029": "Invalid time limit",
    "90030": "Invalid service level",
    "90049": "Invalid recording timeout",
    "90056": "Invalid initial timeout",
    "90059": "Invalid recording track",
}
"""The codes that a wrong command may get. Not all of Telnyx's titles are published: these say the same."""

_CODES_OF_FIELDS: Final = {
    "format": "90000",
    "record_format": "90000",
    "channels": "90001",
    "record_channels": "90001",
    "terminating_digit": "90007",
    "valid_digits": "90008",
    "loop": "90009",
    "payload": "90010",
    "payload_type": "90011",
    "voice": "90012",
    "language": "90013",
    "digits": "90014",
    "stop": "90016",
    "client_state": "90017",
    "target_leg_client_state": "90017",
    "minimum_digits": "90022",
    "maximum_digits": "90023",
    "maximum_tries": "90024",
    "timeout_millis": "90025",
    "inter_digit_timeout_millis": "90026",
    "duration_millis": "90027",
    "timeout_secs": "90028",
    "time_limit_secs": "90029",
    "service_level": "90030",
    "record_timeout_secs": "90049",
    "initial_timeout_millis": "90056",
    "recording_track": "90059",
}

_MAX_ERRORS: Final = 20


def refusals(error: ValidationError) -> list[dict[str, Any]]:
    """Say of a body what is wrong with it, as the `errors` of an answer by Telnyx.

    Returns:
        At least one, at most 20. None quotes the body; a pointer names its fields.
    """
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return [_refusal(problem["type"], problem["loc"], problem["msg"]) for problem in problems[:_MAX_ERRORS]]


def _refusal(kind: str, location: tuple[int | str, ...], reason: str) -> dict[str, Any]:
    # What stands in angle brackets is the branch of a union; see `by_key`.
    path = [str(part)[:100] for part in location if not str(part).startswith("<")]
    code = _code(kind, path)
    refusal: dict[str, Any] = {"code": code, "title": TITLES[code], "detail": reason}
    if path:
        refusal["source"] = {"pointer": "".join(f"/{_escaped(part)}" for part in path)}
    refusal["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"}
    return refusal


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")  # RFC 6901 section 3


def _code(kind: str, path: list[str]) -> str:
    if kind == "json_invalid":
        return "10023"
    if kind == "missing":
        return "10004"
    if kind.endswith("_type"):
        return "10026"
    if len(path) == 1 and path[0] in _CODES_OF_FIELDS:
        return _CODES_OF_FIELDS[path[0]]
    if kind in ("literal_error", "unknown_value"):
        return "10032"
    if kind.startswith(("greater_than", "less_than")) or kind.endswith(("too_long", "too_short")):
        return "10033"
    return "10027"
