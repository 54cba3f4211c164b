"""Rules that decide over calls by who calls whom: the `[[routes]]` of the settings. The first that matches decides.

A rule matches where all that it names does. A call is looked at when it is announced, and again when its stream begins:
only then its custom parameters are known, and a rule that names some may still choose the agent and the sinks.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.decision import Action, Cause, Decision, Encoding, Media, TargetLegs, Track
from gateway.errors import ConfigError
from gateway.protocol.events import CallAnswered, CallInitiated
from gateway.protocol.messages import Start

__all__ = ["Route", "Subject", "first_match", "load_routes"]

_MAX_ROUTES: Final = 10_000
_STREAM_FIELDS: Final = ("codec", "sample_rate", "mode", "track", "target_legs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a rule can look at. Phone numbers stand in no log.

    Attributes:
        headers: Of the SIP INVITE, by lower-case names.
        parameters: Of the stream; None before there is one.
    """

    to: str | None = field(default=None, repr=False)
    from_: str | None = field(default=None, repr=False)
    connection_id: str | None = None
    direction: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    parameters: Mapping[str, str] | None = field(default=None, repr=False)

    @classmethod
    def of_event(cls, event: CallInitiated | CallAnswered, direction: str | None) -> Self:
        """What the announcement of a call tells."""
        payload = event.payload
        headers = (*(payload.custom_headers or ()), *(payload.sip_headers or ()))
        return cls(
            to=payload.to,
            from_=payload.from_,
            connection_id=payload.connection_id,
            direction=direction,
            headers={header.name.lower(): header.value for header in headers if header.name and header.value},
        )

    @classmethod
    def of_stream(cls, start: Start, direction: str | None) -> Self:
        """What the beginning of a stream tells."""
        body = start.start
        return cls(to=body.to, from_=body.from_, direction=direction, parameters=body.custom_parameters or {})


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _pattern(text: str) -> str:
    if not text or "*" in text[:-1]:
        raise ValueError("want an exact value, a beginning that ends in `*`, or `*`")
    return text


Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1)]
Headers: TypeAlias = Annotated[
    dict[str, Pattern], AfterValidator(lambda headers: {name.lower(): value for name, value in headers.items()})
]
Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Route(BaseModel):
    """One rule: what a call has to be like, and what becomes of it then; see `Decision` for the latter."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str | None = None
    to: Patterns | None = None
    from_: Patterns | None = Field(None, alias="from")
    connection_id: Patterns | None = None
    direction: Literal["incoming", "outgoing"] | None = None
    headers: Headers | None = None
    parameters: dict[str, Pattern] | None = None

    action: Action = "answer"
    media: Media = "stream"
    cause: Cause = "CALL_REJECTED"
    codec: Encoding | None = None
    sample_rate: Literal[8000, 16000, 22050, 24000, 48000] | None = None
    mode: Literal["rtp", "mp3"] | None = None
    track: Track = "inbound_track"
    target_legs: TargetLegs = "self"
    agent: str | None = None
    agent_options: dict[str, Any] | None = Field(None, repr=False)
    sinks: Names | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        given = self.model_fields_set
        if self.action != "reject" and "cause" in given:
            raise ValueError("cause goes with action = 'reject' only")
        if self.action != "answer" and (odd := given & {"media", "agent", "agent_options", "sinks", *_STREAM_FIELDS}):
            raise ValueError(f"{min(odd)} goes with action = 'answer' only")
        if self.media != "stream" and (odd := given & set(_STREAM_FIELDS)):
            raise ValueError(f"{min(odd)} goes with media = 'stream' only")
        if self.agent_options is not None and not self.agent:
            raise ValueError("agent_options need an agent")
        if self.media == "fork" and self.agent:
            raise ValueError("a fork can only be listened to: it has no agent")
        if self.parameters is not None and self.action != "answer":
            raise ValueError("parameters are known when the stream begins: too late to reject or ignore the call")
        return self

    def matches(self, subject: Subject) -> bool:
        """Whether a call is like that."""
        return (
            (self.direction is None or self.direction == subject.direction)
            and _any_matches(self.to, subject.to)
            and _any_matches(self.from_, subject.from_)
            and _any_matches(self.connection_id, subject.connection_id)
            and _all_match(self.headers, subject.headers)
            and _all_match(self.parameters, subject.parameters or {})
        )

    def decision(self, number: int) -> Decision:
        """What becomes of a call that matches."""
        fields = {name: getattr(self, name) for name in Decision.__struct_fields__ if name not in ("agent", "rule")}
        return Decision(**fields, agent=self.agent_key(number), rule=self.name or f"rule {number}")

    def agent_key(self, number: int) -> str | None:
        """What the rule's agent is called: by its name, and where it has options of its own by the rule as well."""
        return self.agent if self.agent_options is None else f"{self.agent} of rule {number}"


def first_match(routes: Iterable[Route], subject: Subject, *, by_parameters: bool = False) -> Decision | None:
    """What the first rule says that matches; None where none does.

    Args:
        routes: All of them.
        subject: The call.
        by_parameters: Only ask rules that name parameters.
    """
    for number, route in enumerate(routes, 1):
        if (route.parameters is not None or not by_parameters) and route.matches(subject):
            return route.decision(number)
    return None


def load_routes(source: Path | Sequence[Mapping[str, Any]] | None) -> list[Route]:
    """Read the rules.

    Args:
        source: The tables themselves, or a TOML file that has them as `[[routes]]`; None for no rules.

    Raises:
        ConfigError: Names every rule that is wrong by its number, from 1, and says what is wrong with it.
    """
    tables: Any = _read(source) if isinstance(source, Path) else source or []
    if not isinstance(tables, list | tuple) or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigError("GATEWAY_ROUTES: want tables, each headed [[routes]]")
    if len(tables) > _MAX_ROUTES:
        raise ConfigError(f"GATEWAY_ROUTES: {len(tables)} rules, limit {_MAX_ROUTES}")
    routes, problems = [], []
    for number, table in enumerate(tables, 1):
        try:
            routes.append(Route.model_validate(dict(table)))
        except ValidationError as error:
            problems += [f"GATEWAY_ROUTES: rule {number}: {text}" for text in _explain(error)]
    if problems:
        raise ConfigError("\n".join(problems))
    return routes


def _read(path: Path) -> Any:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"GATEWAY_ROUTES: cannot read {path}: {error}") from error
    if unknown := sorted(content.keys() - {"routes"}):
        raise ConfigError(f"GATEWAY_ROUTES: {path} has {unknown[0]!r}, want nothing but [[routes]]")
    return content.get("routes", [])


def _explain(error: ValidationError) -> list[str]:
    texts = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"])
        what = "there is no such key" if problem["type"] == "extra_forbidden" else problem["msg"]
        texts.append(f"{where}: {what}" if where else what.removeprefix("Value error, "))
    return texts


def _any_matches(patterns: Sequence[str] | None, value: str | None) -> bool:
    return patterns is None or any(_matches(pattern, value) for pattern in patterns)


def _all_match(patterns: Mapping[str, str] | None, values: Mapping[str, str]) -> bool:
    return all(_matches(pattern, values.get(name)) for name, pattern in (patterns or {}).items())


def _matches(pattern: str, value: str | None) -> bool:
    """Whether a value is the one that was named, or begins as it does; `*` takes whatever there is."""
    if value is None:
        return False
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
