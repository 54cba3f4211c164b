"""Write the lists of fields that the models of commands and events are held against.

    python tests/vectors/telnyx/make_fields.py describe SHEET    described.json, from a sheet of Telnyx's description
    python tests/vectors/telnyx/make_fields.py                   fields.json, from described.json and the SDK's types

`described.json` holds what the tables of Telnyx's OpenAPI description say: type, enumeration, default, limits. The
sheet shortens nested objects, and is older than Telnyx's Python package; so `fields.json` has the objects, and the
fields and values that came since, from the package's types. Where both have a field, values are joined.
"""

import importlib
import importlib.metadata
import json
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pydantic
import typing_extensions

HERE: Final = Path(__file__).parent
BASE: Final = ("call_control_id", "connection_id", "call_leg_id", "call_session_id", "client_state")
JSON_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}

Spec = dict[str, Any]

_EVENT_ROW: Final = r"^\| `([a-z_.]+)` \| (all[^|]*)\| (yes|no) \|(.*)\|$"


# -- The sheet -------------------------------------------------------------------------------------------------------


def describe(sheet: str) -> Spec:
    """Read the tables of a sheet: `#### action - METHOD path (SDK name)` and its rows, nested objects, and events."""
    described: Spec = {"commands": {}, "objects": {}, "events": {}}
    for section in re.split(r"^#### ", sheet, flags=re.MULTILINE)[1:]:
        head = re.match(r"(\w+) \S+ `(POST|PUT) /v2([^`]+)` \(SDK `([\w.]+)`\)", section)
        if head:
            action, method, path, sdk = head.groups()
            rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", section.split("\n### ")[0], flags=re.MULTILINE)
            fields = {name: _row(*(cell.strip() for cell in row.split("|"))) for name, row in rows}
            described["commands"][action] = {"method": method, "path": path, "sdk": sdk, "fields": fields}
    nested = sheet.partition("Nested objects")[2].partition("\n---")[0]
    for name, text in re.findall(r"^\*\*([^*\n]+)\*\*: (`.*)$", nested, flags=re.MULTILINE):
        fields = dict(map(_nested, re.split(r"; (?=`)", text)))
        described["objects"][name.split(" (")[0].removeprefix("transcription_engine_config ")] = fields
    for event_type, base, parties, rest in re.findall(_EVENT_ROW, sheet, re.MULTILINE):
        fields = {name: {"type": "string"} for name in BASE if f"but {name}" not in base}
        fields |= {name: {"type": "string"} for name in ("from", "to") if parties == "yes"}
        fields |= dict(map(_nested, re.split(r"; (?=`)", rest.strip()))) if "`" in rest else {}
        described["events"][event_type] = fields
    return described


def _row(kind: str, required: str, default: str, limits: str, note: str) -> Spec:
    spec = _type(kind) | ({"required": True} if required == "yes" else {})
    if default:
        spec["default"] = json.loads(default.strip("`"))
    spec |= {key: int(value) for key, value in re.findall(r"(m\w+)=(\d+)", limits)}
    # What the schema leaves to the text: `1..128 (90022)`, `max 64 chars`, `documented max 43200`.
    if span := re.search(r"(?<![\d.])(\d+)\.\.(\d+)", note):
        spec |= {"minimum": int(span[1]), "maximum": int(span[2])}
    if length := re.search(r"(\d+) chars", note):
        spec["maxLength"] = int(length[1])
    if largest := re.search(r"max (\d+)$", note):
        spec["maximum"] = int(largest[1])
    return spec


def _nested(text: str) -> tuple[str, Spec]:
    """`name`* type: values (default X) [minimum=1 maximum=2]."""
    match = re.match(r"`(\w+)`(\*?) (.*?)(?: \(default (.*?)\))?(?: \[(.*)\])?$", text.strip())
    assert match, text
    name, required, kind, default, limits = match.groups()
    spec = _type(kind) | ({"required": True} if required else {})
    if default:
        spec["default"] = json.loads(default)
    numbers = re.findall(r"(m\w+)=([\d.]+)", limits or "")
    return name, spec | {key: float(value) for key, value in numbers}


def _type(kind: str) -> Spec:
    if kind.startswith("oneOf(string"):
        return {"type": ["string", "array" if "array" in kind else "integer"]}
    if "list of languages" in kind:
        return {"type": "string"}
    if kind.startswith("["):
        return {"type": re.findall(r"'(\w+)'", kind)[0]}
    if kind.startswith(("object", "{", "oneOf")):
        return {"type": "object"}
    word, _, values = kind.partition(":")
    name = re.split(r"[/\[ ]", word)[0]
    cast = {"string": str, "integer": int}.get(name)
    return {"type": name} | ({"enum": [cast(value.strip()) for value in values.split(",")]} if values and cast else {})


# -- The package -----------------------------------------------------------------------------------------------------


def typed_dict(kind: Any) -> Spec:
    """The fields of a type of request, as far down as it goes."""
    return {_alias(name, hint): _sdk(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def model(kind: type[pydantic.BaseModel]) -> Spec:
    """The fields of a type of event, as far down as it goes."""
    return {field.alias or name: _sdk(field.annotation) for name, field in kind.model_fields.items()}


def _alias(name: str, hint: Any) -> str:
    for part in _layers(hint):
        for extra in getattr(part, "__metadata__", ()):
            if getattr(extra, "alias", None):
                return str(extra.alias)
    return name


def _layers(hint: Any) -> Iterator[Any]:
    while True:
        yield hint
        if get_origin(hint) not in (Annotated, typing_extensions.Required, typing.Required):
            return
        hint = get_args(hint)[0]


def _sdk(hint: Any) -> Spec:
    required = {"required": True} if any("Required" in str(get_origin(part)) for part in _layers(hint)) else {}
    *_, bare = _layers(hint)
    return _plain(bare) | required


def _plain(hint: Any) -> Spec:
    origin, arguments = get_origin(hint), [part for part in get_args(hint) if part is not type(None)]
    if origin is Literal:
        if set(arguments) == {True, False}:
            return {"type": "boolean"}
        return {"type": JSON_TYPES[type(arguments[0])], "enum": arguments}
    if origin in (Union, types.UnionType):
        specs = [_plain(part) for part in arguments]
        if len(specs) == 1:
            return specs[0]
        if all("fields" in spec for spec in specs):
            return {"type": "object", "any_of": [spec["fields"] for spec in specs]}
        kinds = list(dict.fromkeys(spec["type"] for spec in specs))
        return {"type": kinds[0] if len(kinds) == 1 else kinds}
    if isinstance(hint, type) and typing_extensions.is_typeddict(hint):
        return {"type": "object", "fields": typed_dict(hint)}
    if isinstance(hint, type) and issubclass(hint, pydantic.BaseModel):
        return {"type": "object", "fields": model(hint)}
    if origin is dict or hint is dict:
        values = _plain(arguments[1]) if arguments else {}
        return {"type": "object", "values": values} if "fields" in values else {"type": "object"}
    if origin is not None:  # list, Iterable, Sequence
        return {"type": "array", "items": _plain(arguments[0])}
    return {"type": JSON_TYPES.get(hint, "string")}  # datetime is a text on the wire


def sdk_commands(described: Spec) -> Spec:
    """The types of the package's methods, by action."""
    calls = importlib.import_module("telnyx.types.calls")
    dial = importlib.import_module("telnyx.types.call_dial_params").CallDialParams
    found = {"dial": typed_dict(dial)}
    for action, command in described["commands"].items():
        name = command["sdk"].rpartition(".")[2].title().replace("_", "").replace("Ai", "AI")
        if action != "dial":
            found[action] = typed_dict(getattr(calls, f"Action{name}Params"))
    return found


def sdk_events() -> Spec:
    """The types of the package's webhooks, by event type: those of calls, and of what calls take part in."""
    package = importlib.import_module("telnyx.types")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.endswith("_webhook_event"):
            continue
        for name, kind in vars(importlib.import_module(f"telnyx.types.{module.name}")).items():
            if not (name.endswith("WebhookEvent") and "data" in getattr(kind, "model_fields", {})):
                continue
            data = _sdk(kind.model_fields["data"].annotation).get("fields", {})
            event_type = data.get("event_type", {}).get("enum", [""])[0]
            if re.match(r"(call|streaming|siprec|conference)\.", event_type):
                found[event_type] = data["payload"]["fields"]
    return found


# -- Both ------------------------------------------------------------------------------------------------------------


def join(old: Spec, new: Spec) -> Spec:
    """Fields of both, with the facts of both; values that either has."""
    joined = {}
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name, {}), new.get(name, {})
        joined[name] = one | {key: value for key, value in other.items() if key not in one}
        if "enum" in one and "enum" in other:
            joined[name]["enum"] = list(dict.fromkeys([*one["enum"], *other["enum"]]))
        if "fields" in one and "fields" in other:
            joined[name]["fields"] = join(one["fields"], other["fields"])
    return joined


def with_objects(fields: Spec, objects: Spec) -> Spec:
    """Defaults and limits of nested objects, which only the sheet has."""
    for name, spec in fields.items():
        if name in objects and "fields" in spec:
            spec["fields"] = join(objects[name], spec["fields"])
        if name == "transcription_config":
            with_objects(spec["fields"], objects)
        if name == "transcription_engine_config" and "any_of" in spec:
            by_engine = {_engine(fields): fields for fields in objects.values() if "transcription_engine" in fields}
            spec["any_of"] = [join(by_engine.get(_engine(each), {}), each) for each in spec["any_of"]]
    return fields


def _engine(fields: Spec) -> str:
    model = fields.get("transcription_model", {}).get("enum", [""])[0]
    return str(model if "nova" in model else fields["transcription_engine"]["enum"][0])


def combine(described: Spec) -> Spec:
    """What the sheet and the package say together."""
    newer, events = sdk_commands(described), sdk_events()
    commands = {
        action: command | {"fields": with_objects(join(command["fields"], newer[action]), described["objects"])}
        for action, command in described["commands"].items()
    }
    events = events | {name: join(fields, events.get(name, {})) for name, fields in described["events"].items()}
    return {
        "sdk": importlib.metadata.version("telnyx"),
        "commands": commands,
        "events": dict(sorted(events.items())),
    }


def main(arguments: list[str]) -> None:
    """Write one of the two lists."""
    if arguments[:1] == ["describe"]:
        described = describe(Path(arguments[1]).read_text("utf-8"))
        (HERE / "described.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        return
    text = json.dumps(combine(json.loads((HERE / "described.json").read_text("utf-8"))), separators=(",", ":"))
    (HERE / "fields.json").write_text(text.replace('},"', '},\n"') + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
