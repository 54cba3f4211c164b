"""What all events have in common: every field of a payload is optional, as in the schema of Telnyx."""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Final, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["BaseEvent", "CallPayload", "Model", "NameValue", "Payload"]

# The ids are remembered, so their size has a bound; the real ones have 36 and about 57 characters.
EventId: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
CallControlId: TypeAlias = Annotated[str, Field(min_length=1, max_length=512)]


class Model(BaseModel):
    """An object of a webhook: further keys are kept, a number is taken for a text and the other way round."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)


class NameValue(Model):
    """A SIP header."""

    name: str | None = None
    value: str | None = Field(None, repr=False)


class Payload(Model):
    """What every payload may have; `client_state` is base64, and null where none was set."""

    call_control_id: CallControlId | None = None
    connection_id: str | None = None
    call_leg_id: str | None = None
    call_session_id: str | None = None
    client_state: str | None = Field(None, repr=False)


class CallPayload(Payload):
    """What the payloads of most `call.*` events have besides: E.164 numbers, or SIP addresses."""

    from_: str | None = Field(None, alias="from", repr=False)
    to: str | None = Field(None, repr=False)


class BaseEvent(Model):
    """What every event has.

    Attributes:
        id: The same in every delivery of one event.
        occurred_at: ISO 8601 with microseconds.
    """

    id: EventId
    occurred_at: str | None = None
    record_type: str | None = None  # `event`

    @cached_property
    def body(self) -> bytes:
        """The webhook that it was read from."""
        return b'{"data":%b}' % self.model_dump_json(by_alias=True, exclude_unset=True).encode()

    @property
    def unreadable(self) -> Mapping[str, Any]:
        """Fields whose values have not the documented type, by their path, as they came; each counts as absent."""
        unreadable: Mapping[str, Any] = self.__dict__.get("unreadable", _NOTHING)
        return unreadable

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Read an event field by field; what cannot be read is left out of `data`, and is `unreadable` then.

        Raises:
            ValidationError: The event cannot be used without the field.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            paths = [_path(data, problem["loc"]) for problem in error.errors(include_url=False, include_context=False)]
        # From behind: what leaves a list moves what follows. A union has an error for each of its branches.
        taken = {".".join(map(str, path)): _take(data, path) for path in reversed(dict.fromkeys(paths))}
        event = cls.model_validate(data)
        event.__dict__["unreadable"] = taken  # as a private attribute of the model would cost every event
        return event


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_Path: TypeAlias = tuple[int | str, ...]
_ESSENTIAL: Final = {("id",), ("event_type",), ("payload", "call_control_id")}


def _path(data: Any, location: _Path) -> _Path:
    """The part of an error's location that leads to a value; what follows names a branch of a union."""
    for depth, part in enumerate(location):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return location[:depth]
    return location


def _take(data: dict[str, Any], path: _Path) -> Any:
    if not path or path in _ESSENTIAL or (path == ("payload",) and data["payload"] is not None):
        return None  # stays, and is what the next reading says
    inner: Any = data
    for part in path[:-1]:
        inner = inner[part]
    return inner.pop(path[-1])
