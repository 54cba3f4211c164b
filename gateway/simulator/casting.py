"""A person by the script they follow, as HTTP and files name it: one of the library's, or one that is sent along."""

import base64
import binascii
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.simulator.person import Person
from gateway.simulator.script import Script, ScriptError, library, load_script, parse_script
from gateway.simulator.speech import SAMPLE_RATE

__all__ = ["InlineScript", "ScriptSource", "find_script", "inline", "make_person"]


class InlineScript(BaseModel):
    """A script that is sent along.

    Attributes:
        toml: The script.
        sounds: By the names that it uses, base64 of WAV files: 8000 Hz, mono, 16 bit.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    toml: str = Field(max_length=100_000)
    sounds: dict[str, str] = Field(default_factory=dict, repr=False)


def find_script(source: str | InlineScript) -> Script:
    """Read a script: the library's of this name, or the one that was sent along.

    Raises:
        ScriptError: There is no such script, or it cannot be followed.
    """
    if isinstance(source, InlineScript):
        sounds = source.sounds
        return parse_script(source.toml, lambda name: _octets(sounds[name]))
    known = library()
    if source not in known:
        raise ScriptError(f"there is no script {source[:60]!r}; there are: {', '.join(known)}")
    return load_script(known[source])


def make_person(source: str | InlineScript) -> Person:
    """A person at the simulator's rate.

    Raises:
        ValueError: As `find_script`; or a sound is no WAV file of this rate.
    """
    return Person(find_script(source), sample_rate=SAMPLE_RATE)


def inline(path: Path) -> InlineScript:
    """Take a script from a file, with its sounds.

    Raises:
        ScriptError: It cannot be followed.
        OSError: It cannot be read.
    """
    script = load_script(path)
    sounds = {name: base64.b64encode(octets).decode() for name, octets in script.sounds.items()}
    return InlineScript(toml=path.read_text("utf-8"), sounds=sounds)


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ScriptError(f"a sound is not base64: {error}") from error


def _checked(source: str | InlineScript) -> str | InlineScript:
    make_person(source)
    return source


ScriptSource: TypeAlias = Annotated[str | InlineScript, AfterValidator(_checked)]
"""A field that names a script or holds one."""
