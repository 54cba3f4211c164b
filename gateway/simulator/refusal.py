"""How Telnyx's API says no: a status, and an error with a code of digits.

Source: Telnyx, "API error codes" and the examples of its OpenAPI description. Which of 404/10005 and 422/90015 an
unknown id gets is not documented; it is 404 here.
"""

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

__all__ = ["Refusal", "parse"]

_TITLES: Final = {
    "10004": "Missing required parameter",
    "10005": "Resource not found",
    "10007": "Unexpected error",
    "10009": "Authentication failed",
    "10011": "Too many requests",
    "10023": "Invalid JSON",
    "10026": "Invalid type",
    "10027": "Unprocessable",
    "10029": "Invalid content type",
    "10032": "Invalid enumerated value",
    "10033": "Value outside of range",
    "90017": "Invalid client state",
    "90018": "Call has already ended",
    "90034": "Call not answered yet",
    "90045": "Media Streaming is used",
    "90048": "Media Streaming is not used",
}


class Refusal(Exception):  # noqa: N818 - an answer of the API, not a failure of ours
    """A request is refused.

    Attributes:
        status: Of the HTTP answer.
        code: Telnyx's, digits as text.
        pointer: JSON pointer to the field, where one is to blame.
    """

    def __init__(self, status: int, code: str, detail: str, *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.pointer = pointer

    def body(self) -> dict[str, Any]:
        """The answer's body, as JSON-ready values."""
        error: dict[str, Any] = {"code": self.code, "title": _TITLES[self.code], "detail": str(self)}
        if self.pointer is not None:
            error["source"] = {"pointer": self.pointer}
        error["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{self.code}"}
        return {"errors": [error]}


_Model = TypeVar("_Model", bound=BaseModel)


def parse(model: type[_Model], body: bytes) -> _Model:
    """Read a request's body; an empty one counts as `{}`.

    Raises:
        Refusal: 422, with the code for the first thing that is wrong.
    """
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    pointer = "".join(f"/{part}" for part in problem["loc"])
    raise Refusal(422, _code(problem["type"], pointer), problem["msg"], pointer=pointer or None)


def _code(kind: str, pointer: str) -> str:
    if kind == "json_invalid":
        return "10023"
    if kind == "missing":
        return "10004"
    if pointer == "/client_state":
        return "90017"
    if kind == "literal_error":
        return "10032"
    if kind.endswith("_type"):
        return "10026"
    if kind.startswith(("greater_than", "less_than")) or kind.endswith(("too_long", "too_short")):
        return "10033"
    return "10027"
