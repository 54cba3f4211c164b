"""Holds a model against a list of fields: what its JSON schema lacks, or says in another way."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

VECTORS: Final = Path(__file__).parents[2] / "vectors" / "telnyx"
LIMITS: Final = ("minimum", "maximum", "minLength", "maxLength", "maxItems")

Spec = Mapping[str, Any]


def documented(kind: str) -> dict[str, Any]:
    """The list of fields of all `commands` or `events`."""
    fields: dict[str, Any] = json.loads((VECTORS / "fields.json").read_text("utf-8"))[kind]
    return fields


def samples(kind: str) -> dict[str, Any]:
    """One sample each of all `commands` or `events`."""
    found: dict[str, Any] = json.loads((VECTORS / f"{kind}.json").read_text("utf-8"))
    return found


class Comparison:
    """The comparison of one model.

    Args:
        model: Its schema is what it takes.
        exactly: Whether enumerations, defaults and what is required must be the same; else only names and types.
    """

    def __init__(self, model: type[BaseModel], *, exactly: bool) -> None:
        self._schema = model.model_json_schema(mode="validation")
        self._definitions = self._schema.get("$defs", {})
        self._exactly = exactly

    def problems(self, fields: Spec) -> list[str]:
        """Every difference, by the path of its field."""
        return list(self._object(fields, self._schema, ""))

    def _object(self, fields: Spec, schema: Spec, where: str, *, wider: bool = False) -> Iterator[str]:
        properties = schema.get("properties", {})
        for name, spec in fields.items():
            if name not in properties:
                yield f"{where}/{name}: missing"
                continue
            yield from self._field(spec, properties[name], f"{where}/{name}", wider=wider)
            if self._exactly and (name in schema.get("required", [])) != spec.get("required", False):
                yield f"{where}/{name}: required is {not spec.get('required', False)}"

    def _field(self, spec: Spec, schema: Spec, where: str, *, wider: bool = False) -> Iterator[str]:
        branches = [branch for branch in self._branches(schema) if branch.get("type") != "null"]
        kinds = {kind for branch in branches for kind in _types(branch)}
        wanted = {spec["type"]} if isinstance(spec["type"], str) else set(spec["type"])
        if kinds and not wanted <= kinds:
            yield f"{where}: is {kinds}, documented {wanted}"
        if self._exactly:
            yield from _values(spec, schema, branches, where, wider=wider)
        objects = [branch for branch in branches if "properties" in branch]
        if "fields" in spec:
            yield from self._object(spec["fields"], objects[0] if objects else {}, where)
        # One branch of ours may stand for two of theirs, an engine and its legacy name: it takes the values of both.
        for fields in spec.get("any_of", ()):
            if all(any(self._object(fields, each, where, wider=True)) for each in objects):
                yield f"{where}: no branch for {[spec['enum'] for spec in fields.values() if 'enum' in spec][-1:]}"
        for key, inside in (("items", "items"), ("values", "additionalProperties")):
            for branch in branches:
                if key in spec and inside in branch:
                    yield from self._field(spec[key], branch[inside], f"{where}/{key}")

    def _branches(self, schema: Spec) -> Iterator[Spec]:
        if "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        inner = schema.get("anyOf") or schema.get("oneOf")
        if inner is None:
            yield schema
            return
        for branch in inner:
            yield from self._branches(branch)


def _types(branch: Spec) -> set[str]:
    kind = branch.get("type")
    return {kind, "integer"} if kind == "number" else {kind} if kind else set()


def _values(spec: Spec, schema: Spec, branches: list[Spec], where: str, *, wider: bool) -> Iterator[str]:
    if "enum" in spec:
        allowed = {value for branch in branches for value in branch.get("enum", [branch.get("const")])}
        if allowed != set(spec["enum"]) and not (wider and allowed > set(spec["enum"])):
            yield f"{where}: differs by {sorted(map(str, allowed ^ set(spec['enum'])))}"
    if "default" in spec and not spec.get("required") and schema.get("default") != spec["default"]:
        yield f"{where}: default is {schema.get('default')!r}, documented {spec['default']!r}"
    for limit in LIMITS:
        found = {branch[limit] for branch in branches if limit in branch}
        if limit in spec and found != {spec[limit]}:
            yield f"{where}: {limit} is {found}, documented {spec[limit]}"
