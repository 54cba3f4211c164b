"""What all commands and the objects inside them have in common, and the types of their fields.

A model is strict: JSON types are taken as they are (`"8000"` is no number), and a field that it does not name is
refused, as Telnyx would ignore it in silence. What comes from somebody else is read leniently instead, see
`gateway.protocol.commands.parse_command`: its unknown fields are kept and sent on as they are.
"""

import base64
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = [
    "Base64",
    "Command",
    "Count",
    "HttpMethod",
    "HttpUrl",
    "HttpUrls",
    "Model",
    "NameValue",
    "OpenModel",
    "Text3000",
    "Uuid",
    "WebSocketUrl",
    "by_json_type",
    "by_key",
    "comma_separated",
    "wrong",
]


def _base64(text: str) -> str:
    base64.b64decode(text, validate=True)
    return text


def by_key(key: str, *values: str) -> Discriminator:
    """Tell the objects of a union by the value of a key; its branches are tagged `"<value>"`.

    The tag stands in the location of an error. Its angle brackets tell it from the name of a field.
    """

    def tag(value: object) -> str:
        found = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        return f"<{found}>"

    return _discriminator(tag, "unknown_value", f"{key} should be {', '.join(values[:-1])} or {values[-1]}")


def by_json_type(what: str) -> Discriminator:
    """Tell the values of a union by their JSON type: branches `<text>`, `<list>`, `<boolean>` and `<number>`."""

    def tag(value: object) -> str:
        match value:
            case str():
                return "<text>"
            case list():
                return "<list>"
            case bool():
                return "<boolean>"
            case _:
                return "<number>"

    return _discriminator(tag, "wrong_type", f"Input should be {what}")


def _discriminator(tag: Callable[[object], str], kind: str, message: str) -> Discriminator:
    # pydantic's own message quotes the value that was found.
    return Discriminator(tag, custom_error_type=kind, custom_error_message=message)


def comma_separated(words: str) -> str:
    """The pattern of a list of these words in one text; a space may follow a comma."""
    word = words.replace(" ", "|")
    return f"^(?:{word})(?:, ?(?:{word}))*$"


Base64: TypeAlias = Annotated[str, AfterValidator(_base64)]
Uuid: TypeAlias = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")]
HttpUrl: TypeAlias = Annotated[str, Field(pattern=r"^(?i:https?)://")]
HttpUrls: TypeAlias = Annotated[
    Annotated[HttpUrl, Tag("<text>")] | Annotated[list[HttpUrl], Tag("<list>")], by_json_type("a URL or a list of URLs")
]
HttpMethod: TypeAlias = Literal["POST", "GET"]
WebSocketUrl: TypeAlias = Annotated[str, Field(pattern=r"^(?i:wss?)://")]
Text3000: TypeAlias = Annotated[str, Field(max_length=3000)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    """An object of a body. Errors and `repr` show no input: it may hold tokens."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    exclusive: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of fields of which one at most may be there."""
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Fields which, where they are there and not false, need another."""

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        for group in self.exclusive:
            there = [name for name in group if getattr(self, name) is not None]
            if len(there) > 1:
                raise wrong(
                    self, there[1], PydanticCustomError("exclusive", "Not together with {other}", {"other": there[0]})
                )
        for name, needed in self.needs:
            if getattr(self, name) and getattr(self, needed) is None:
                raise wrong(self, needed, PydanticCustomError("missing", "Needed with {other}", {"other": name}))
        return self

    @model_serializer(mode="wrap")
    def _with_unknown_fields(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what a lenient reading let in too: pydantic would, only for models that always let it in."""
        return {**write(self), **(self.model_extra or {})}


class OpenModel(Model):
    """An object that is documented to take further keys."""

    model_config = ConfigDict(extra="allow")


def wrong(model: Model, name: str, reason: PydanticCustomError) -> ValidationError:
    """An error at a field, told by its model."""
    problem = InitErrorDetails(type=reason, loc=(name,), input=None)
    return ValidationError.from_exception_data(type(model).__name__, [problem], hide_input=True)


class NameValue(Model):
    """A header or a parameter."""

    name: str
    value: str


class Command(Model):
    """What nearly every command has.

    Attributes:
        action: The command's name: the last part of its path, or `dial`.
        method: Of the HTTP request.
        command_id: Telnyx ignores a command whose id came for the same call within the last 60 seconds.
        client_state: Base64; comes back in every later webhook of the leg, and in the stream's `start`.
    """

    action: ClassVar[str]
    method: ClassVar[Literal["POST", "PUT"]] = "POST"

    command_id: str | None = None
    client_state: Base64 | None = Field(None, repr=False)

    @classmethod
    def path(cls, call_control_id: str) -> str:
        """Where the command goes, under the API's base URL; the id is hostile and is escaped."""
        return f"/calls/{quote(call_control_id, safe=':')}/actions/{cls.action}"

    @classmethod
    def takes_command_id(cls) -> bool:
        """Whether the command may be sent again under the same id without acting twice."""
        return "command_id" in cls.model_fields

    def with_command_id(self, command_id: str) -> Self:
        """The same command with an id; as it is where it has one, or can have none."""
        if self.command_id is not None or not self.takes_command_id():
            return self
        return self.model_copy(update={"command_id": command_id})

    def body(self) -> dict[str, Any]:
        """The JSON body: the fields that were set, and not to None."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
