"""What a scripted caller does, read from TOML: a title, and steps that are done one after another.

    title = "Books a table and leaves"

    [[step]]
    listen = "speech"       # until the application speaks ...
    within = 5.0            # ... or the script has failed

    [[step]]
    say = "booking.wav"     # beside the script; mono, 16-bit, at the line's rate

    [[step]]
    hang_up = true

Each step has one verb, the first key of its class below, and the keys that go with it. Seconds everywhere but where a
name says otherwise.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = [
    "HangUp",
    "Interrupt",
    "Listen",
    "Press",
    "Say",
    "Script",
    "ScriptError",
    "Step",
    "Wait",
    "library",
    "load_script",
    "parse_script",
    "sound_of",
]

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class ScriptError(ValueError):
    """The script cannot be followed; says which step and key, and what is wrong."""


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Say(_Step):
    """Speak a WAV file to its end."""

    say: str


class Wait(_Step):
    """Keep silent."""

    wait: Seconds


class Press(_Step):
    """Press keys: each is a tone in the sound, and one `dtmf` event as it begins."""

    press: str = Field(pattern=r"^[0-9A-D*#]{1,64}$")
    tone_ms: int = Field(default=200, ge=40, le=1000)
    gap_ms: int = Field(default=100, ge=40, le=1000)


class Interrupt(_Step):
    """Wait until the application speaks, let it for a while, then speak over it."""

    interrupt: str
    within: Seconds = 10.0
    after: Seconds = 0.0


class Listen(_Step):
    """Keep silent until something is heard, or fail.

    `speech` is sound above -45 dBFS for 60 ms. `silence` is none above -60 dBFS for `lasting` seconds; `within` says
    when it must have begun. With `after = "clear"` the time counts from the `clear` that the application sent since
    the caller last began to speak, for which the caller waits up to ten seconds. `audio` is exactly the sound of
    `file`, sample for sample, as linear PCM or G.711 leave it, heard since the script began.
    """

    listen: Literal["speech", "silence", "audio"]
    within: Seconds = 5.0
    lasting: Seconds = 0.2
    after: Literal["step", "clear"] = "step"
    file: str | None = None


class HangUp(_Step):
    """Leave. A script that ends without it hangs up as well."""

    hang_up: Literal[True]


Step: TypeAlias = Say | Wait | Press | Interrupt | Listen | HangUp

_VERBS: Mapping[str, type[Step]] = {
    "say": Say,
    "wait": Wait,
    "press": Press,
    "interrupt": Interrupt,
    "listen": Listen,
    "hang_up": HangUp,
}


class Script(BaseModel):
    """A whole script.

    Attributes:
        title: What the caller wants, for people.
        steps: In order; at most 1000.
        sounds: The octets of each WAV file that a step names.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    steps: tuple[Step, ...]
    sounds: Mapping[str, bytes]


def parse_script(text: str, read: Callable[[str], bytes]) -> Script:
    """Read a script.

    Args:
        text: TOML. Hostile input is expected.
        read: Gives the octets of the WAV file of a name, or raises LookupError, OSError or ValueError.

    Raises:
        ScriptError: It is no TOML, or no script, or a sound is not there.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"not TOML: {error}") from error
    unknown = sorted(document.keys() - {"title", "step"})
    if unknown:
        raise ScriptError(f"there is no {unknown[0]!r} in a script; there are: title, step")
    steps = document.get("step")
    if not isinstance(steps, list) or not 1 <= len(steps) <= 1000:
        raise ScriptError("a script has 1 to 1000 steps, each begun by a line [[step]]")
    parsed = tuple(_parse_step(number, step) for number, step in enumerate(steps, 1))
    sounds: dict[str, bytes] = {}
    for number, step in enumerate(parsed, 1):
        name = sound_of(step)
        if name is not None and name not in sounds:
            try:
                sounds[name] = read(name)
            except (LookupError, OSError, ValueError) as error:
                raise ScriptError(f"step {number}: there is no sound {name[:100]!r}") from error
    return Script(title=str(document.get("title", "")), steps=parsed, sounds=sounds)


def load_script(path: Path) -> Script:
    """Read a script and, from beside it, the WAV files that it names.

    Raises:
        ScriptError: As `parse_script`.
        OSError: The script cannot be read.
    """
    return parse_script(path.read_text(encoding="utf-8"), lambda name: (path.parent / name).read_bytes())


def library() -> Mapping[str, Path]:
    """The scripts that come with the simulator, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "scripts").glob("*.toml"))}


def sound_of(step: Step) -> str | None:
    """The WAV file that a step needs, as the script names it."""
    match step:
        case Say(say=name) | Interrupt(interrupt=name):
            return name
        case Listen(file=name):
            return name
        case _:
            return None


def _parse_step(number: int, step: Any) -> Step:
    if not isinstance(step, dict):
        raise ScriptError(f"step {number}: begin it with a line [[step]]")
    verbs = [verb for verb in _VERBS if verb in step]
    if len(verbs) != 1:
        raise ScriptError(f"step {number}: want one of {', '.join(_VERBS)}, found {len(verbs)} of them")
    try:
        parsed = _VERBS[verbs[0]].model_validate(step)
    except ValidationError as error:
        first = error.errors()[0]
        raise ScriptError(f"step {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if isinstance(parsed, Listen) and (parsed.listen == "audio") != (parsed.file is not None):
        raise ScriptError(f'step {number}: `file` goes with listen = "audio", and with nothing else')
    return parsed
