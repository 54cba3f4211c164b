"""How Telnyx's API says no: a status, and errors with codes of digits.

Source: Telnyx, "API error codes" and the examples of its OpenAPI description.
"""

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.errors import MalformedCommandError
from gateway.protocol.commands import Command, parse_command, refusals

__all__ = ["Refusal", "parse", "read_command"]

_TITLES: Final = {
    "10004": "Missing required parameter",
    "10005": "Resource not found",
    "10007": "Unexpected error",
    "10009": "Authentication failed",
    "10010": "Authorization failed",
    "10011": "Too many requests",
    "10015": "Bad Request",
    "10016": "Phone number must be in +E.164 format",
    "10027": "Unprocessable Entity",
    "10029": "Expected JSON Content-Type",
    "10030": "Method not allowed",
    "10032": "Invalid enumerated value",
    "10033": "Value outside of range",
    "90015": "Invalid Call Control ID",
    "90018": "Call has already ended",
    "90031": "Call is not forked",
    "90034": "Call not answered yet",
    "90041": "User termination channels limit exceeded",
    "90045": "Media Streaming is used",
    "90048": "Media Streaming is not used",
    "90057": "Invalid call control event type for webhook_urls",
    "90102": "Command is invalid",
    "90103": "Dials per second limit exceeded",
}


class Refusal(Exception):  # noqa: N818 - an answer of the API, not a failure of ours
    """A request is refused.

    Attributes:
        status: Of the HTTP answer.
        code: Telnyx's, digits as text; of the first error where there are several.
        errors: All of them, JSON-ready.
        headers: That the answer has beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = headers or {}
        error: dict[str, Any] = {"code": code, "title": _TITLES[code], "detail": detail}
        source = {"pointer": pointer, "parameter": parameter}
        if known := {name: value for name, value in source.items() if value is not None}:
            error["source"] = known
        error["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"}
        self.errors = [error]

    @classmethod
    def of_errors(cls, errors: list[dict[str, Any]]) -> "Refusal":
        """422, for a body with these errors."""
        refusal = cls(422, "10027", str(errors[0]["detail"]))
        refusal.code = errors[0]["code"]
        refusal.errors = errors
        return refusal

    def body(self) -> dict[str, Any]:
        """The answer's body, as JSON-ready values."""
        return {"errors": self.errors}


_Model = TypeVar("_Model", bound=BaseModel)


def parse(model: type[_Model], body: bytes) -> _Model:
    """Read the body of a request under `/sim`; an empty one counts as `{}`.

    Raises:
        Refusal: 422, with all that is wrong.
    """
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise Refusal.of_errors(refusals(error)) from error


def read_command(action: str, body: bytes) -> Command:
    """Read a command; fields that are not known do not matter.

    Raises:
        Refusal: 404, there is no such command; 422, with all that is wrong.
    """
    try:
        return parse_command(action, body)
    except KeyError as error:
        raise Refusal(404, "10005", f"There is no command {action[:60]!r}.") from error
    except MalformedCommandError as error:
        raise Refusal.of_errors(error.errors) from error
