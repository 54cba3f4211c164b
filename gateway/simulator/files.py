"""What the simulator reads from files: the key that it signs with, and the rules of numbers."""

import base64
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from nacl.signing import SigningKey
from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigError
from gateway.simulator.casting import inline
from gateway.simulator.faults import Faults
from gateway.simulator.numbers import NumberRule
from gateway.simulator.switches import Switches

__all__ = ["load_faults", "load_numbers", "load_signing_key", "parse_switches"]


def load_signing_key(path: Path) -> SigningKey:
    """Read the private key: base64 of 32 octets. One that is not there is made, so that it is the same next time.

    Raises:
        ConfigError: The file holds something else, or cannot be read or made.
    """
    try:
        if not path.exists():
            key = SigningKey.generate()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(base64.b64encode(bytes(key)).decode() + "\n")
            return key
        octets = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if len(octets) != 32:
        raise ConfigError(f"{path}: the signing key has {len(octets)} octets, want 32")
    return SigningKey(octets)


def load_numbers(path: Path) -> dict[str, NumberRule]:
    """Read a TOML file with a table for each number; `audio` names a WAV file beside it, `script` a TOML file.

    Raises:
        ConfigError: A file cannot be read, or a rule is wrong; says which.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        return {number: _rule(number, table, path.parent) for number, table in tables.items()}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def load_faults(path: Path | None, pairs: Sequence[str] = ()) -> Faults:
    """Read a TOML file of faults, and single ones, each as `family.name=value`, which win over it.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; says what.
    """
    try:
        fields: dict[str, Any] = {} if path is None else tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for pair in pairs:
        name, _, value = pair.partition("=")
        family, _, fault = name.partition(".")
        if not fault:
            fields[family] = value
        elif isinstance(known := fields.setdefault(family, {}), dict):
            known[fault] = value.split(",") if fault == "only" else value
    return _validate(Faults, fields, "faults")


def parse_switches(pairs: Sequence[str]) -> Switches:
    """Read switches, each as `name=value`.

    Raises:
        ConfigError: One is unknown, or has no such value.
    """
    named = dict(pair.partition("=")[::2] for pair in pairs)
    return _validate(Switches, named, "switch")


def _rule(number: str, table: object, folder: Path) -> NumberRule:
    if not isinstance(table, dict):
        raise ConfigError(f"{number}: want a table, such as [{number!r}]")
    fields = dict(table)
    if isinstance(audio := fields.get("audio"), str):
        fields["audio"] = base64.b64encode((folder / audio).read_bytes()).decode()
    if isinstance(script := fields.get("script"), str) and script.endswith(".toml"):
        fields["script"] = inline(folder / script)
    return _validate(NumberRule, fields, number)


_Model = TypeVar("_Model", bound=BaseModel)


def _validate(model: type[_Model], fields: dict[str, Any], what: str) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{what}: {where}: {problem['msg']}") from error
