"""A sink as the settings name it: `level:?interval=5`, `wav:/recordings`, `package.module:Class?key=value`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote

from structlog.typing import FilteringBoundLogger

__all__ = ["SinkConfig", "SinkUrl"]


@dataclass(frozen=True, slots=True)
class SinkUrl:
    """What stands in the settings, in its parts.

    Attributes:
        scheme: Up to the first colon; all of it where there is none.
        path: From there to the question mark, percent-decoded; empty where there is none.
        options: What follows the question mark.
    """

    scheme: str
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take it apart.

        Raises:
            ValueError: It has no name, or an option without `=`, or one twice.
        """
        target, _, query = text.partition("?")
        scheme, _, path = target.partition(":")
        if not scheme:
            raise ValueError("it has no name")
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=100) if query else []
        options = dict(pairs)
        if len(options) != len(pairs):
            raise ValueError("an option stands there twice")
        return cls(scheme, unquote(path), options)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """What a sink's `configure` is given, once, as the gateway starts.

    Attributes:
        path: What the settings say behind the sink's name and colon; empty if nothing.
        options: What they say behind the question mark.
        data_dir: The gateway's folder; `data_dir / name` is the place for what a sink keeps.
        log: The gateway's.
    """

    path: str
    options: dict[str, str]
    data_dir: Path
    log: FilteringBoundLogger

    def only(self, *names: str, path: bool = False) -> None:
        """Refuse what the sink does not know, so that a misspelt option cannot be lost.

        Raises:
            ValueError: There is an option of another name, or a path where none is wanted.
        """
        if unknown := sorted(set(self.options) - set(names)):
            raise ValueError(f"it has no option {unknown[0]!r}; it has: {', '.join(names) or 'none'}")
        if self.path and not path:
            raise ValueError(f"it takes nothing behind its name, and {self.path!r} stands there")

    def number(self, name: str, default: float, *, least: float) -> float:
        """An option that is a number.

        Raises:
            ValueError: It is none, or too small.
        """
        text = self.options.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value < float("inf"):
            raise ValueError(f"{name} is {text!r}, want a number of at least {least:g}")
        return value
