"""Menus as a TOML file has them, checked when they are read: see docs/agents.md."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import ConfigError

__all__ = ["Action", "Menu", "Menus", "Prompt", "load_menus"]

_KINDS = ("menu", "transfer", "record", "repeat", "hangup")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prompt(_Strict):
    """Something to be heard: a file, or words to be spoken.

    Attributes:
        play: A WAV or MP3 file; a relative path begins at the folder of the menus' file.
        say: Words for the gateway's speech service.
        voice: Of the words.
        language: Of the words.
    """

    play: Path | None = None
    say: Annotated[str, Field(min_length=1)] | None = None
    voice: str | None = None
    language: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.play is None) == (self.say is None):
            raise ValueError("want either play, a file, or say, a text")
        return self


class Action(_Strict):
    """What a key leads to: exactly one of the kinds, after a prompt if there is one.

    Attributes:
        menu: Another menu, or the same.
        transfer: A number in E.164, or a SIP address.
        record: Record so many seconds at most; a key or `silence` ends it.
        repeat: The menu once more, from its prompt on; this is no failed try.
        hangup: The end of the call.
        prompt: What is heard before that.
        silence: Seconds without speech that end a recording.
        then: The menu after a recording, or after a transfer that failed; hangs up if unset.
    """

    menu: str | None = None
    transfer: Annotated[str, Field(pattern=r"^(\+[1-9][0-9]{1,14}|sips?:\S+)$")] | None = None
    record: Annotated[float, Field(gt=0, le=14_400)] | None = None
    repeat: Literal[True] | None = None
    hangup: Literal[True] | None = None
    prompt: Prompt | None = None
    silence: float = Field(5.0, ge=0.5, le=600)
    then: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError(f"want exactly one of: {', '.join(_KINDS)}")
        if self.then is not None and self.record is None and self.transfer is None:
            raise ValueError("then is for record and transfer")
        return self

    def leads_to(self) -> Iterator[str]:
        """The menus that it may lead to."""
        yield from (menu for menu in (self.menu, self.then) if menu is not None)


def _keys(keys: dict[str, Action]) -> dict[str, Action]:
    for key in keys:
        if len(key) != 1 or key not in "0123456789*#":
            raise ValueError(f"there is no key {key[:20]!r}: want one of 0 to 9, * and #")
    if not keys:
        raise ValueError("a menu without keys leads nowhere")
    return keys


class Menu(_Strict):
    """A question and its answers.

    Attributes:
        prompt: The question.
        keys: What each key leads to.
        timeout: Seconds behind the prompt in which a key is to be pressed.
        tries: How often the caller is asked.
        invalid: What is heard after a key that leads nowhere.
        silent: What is heard where no key was pressed.
        failed: What follows when all tries are used up; hangs up if unset.
    """

    prompt: Prompt
    keys: Annotated[dict[str, Action], AfterValidator(_keys)]
    timeout: float = Field(5.0, gt=0, le=120)
    tries: int = Field(3, ge=1, le=20)
    invalid: Prompt | None = None
    silent: Prompt | None = None
    failed: Action = Action(hangup=True)

    @model_validator(mode="after")
    def _failed_ends(self) -> Self:
        if self.failed.repeat:
            raise ValueError("failed cannot be repeat: use tries")
        return self

    def actions(self) -> Iterator[tuple[str, Action]]:
        """Every action, and where it stands."""
        yield from ((f"keys.{key}", action) for key, action in self.keys.items())
        yield "failed", self.failed

    def prompts(self) -> Iterator[tuple[str, Prompt]]:
        """Every prompt, and where it stands."""
        own = {"prompt": self.prompt, "invalid": self.invalid, "silent": self.silent}
        yield from ((name, prompt) for name, prompt in own.items() if prompt is not None)
        for name, action in self.actions():
            if action.prompt is not None:
                yield f"{name}.prompt", action.prompt


class Menus(_Strict):
    """All menus of one agent.

    Attributes:
        start: The first one.
        menus: All of them by name.
        steps: How many menus and actions a call may go through before it is hung up.
    """

    start: str
    menus: dict[str, Menu]
    steps: int = Field(200, ge=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.start not in self.menus:
            raise ValueError(f"start: there is no menu {self.start!r}")
        for name, menu in self.menus.items():
            for where, action in menu.actions():
                for target in action.leads_to():
                    if target not in self.menus:
                        raise ValueError(f"menus.{name}.{where}: there is no menu {target!r}")
        return self


def load_menus(path: Path, *, speaks: bool) -> Menus:
    """Read the menus, and find out now what would be wrong in the middle of a call.

    Args:
        path: A TOML file.
        speaks: Whether the gateway has a speech service.

    Raises:
        ConfigError: It cannot be read, or is wrong; names every mistake that was found.
    """
    try:
        contents: Mapping[str, Any] = tomllib.loads(path.read_text("utf-8"))
        menus = Menus.model_validate(contents)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the menus in {path}: {error}") from error
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        lines = (f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}".replace(": : ", ": ") for one in problems)
        raise ConfigError("\n".join(lines)) from error
    located = {name: _locate(menu, path.parent) for name, menu in menus.menus.items()}
    mistakes = []
    for name, menu in located.items():
        for where, prompt in menu.prompts():
            if prompt.play is not None and not prompt.play.is_file():
                mistakes.append(f"{path}: menus.{name}.{where}: there is no file {str(prompt.play)!r}")
            elif prompt.say is not None and not speaks:
                mistakes.append(f"{path}: menus.{name}.{where}: say needs a speech service: set GATEWAY_SPEECH")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return menus.model_copy(update={"menus": located})


def _locate(part: Any, folder: Path) -> Any:
    """The same with every file's path put behind the folder."""
    if isinstance(part, Prompt):
        return part if part.play is None else part.model_copy(update={"play": folder / part.play})
    if isinstance(part, BaseModel):
        return part.model_copy(update={name: _locate(getattr(part, name), folder) for name in type(part).model_fields})
    if isinstance(part, dict):
        return {name: _locate(value, folder) for name, value in part.items()}
    return part
