"""The models against the list of documented fields: `tests/vectors/telnyx/README.md` says how it was made."""

from typing import Final

import pytest

from gateway.protocol.commands import COMMANDS
from tests.gateway.protocol.fields import Comparison, documented

FIELDS = documented("commands")

OTHERWISE: Final = {
    # The schema has the whole list as one value; the package has one codec as a value. The text says: a list.
    ("answer", "/preferred_codecs"): "differs",
    # Required by the schema, ruled out by its text beside `queue` and `video_room_id`: one of the three.
    ("bridge", "/call_control_id"): "required is False",
    # A parameter without a name or a value is none; both are optional in the package.
    ("streaming_start", "/custom_parameters/items/name"): "required is True",
    ("streaming_start", "/custom_parameters/items/value"): "required is True",
    # Four legacy names, only in the text.
    ("suppression_start", "/noise_suppression_engine"): "differs by ['A', 'B', 'C', 'D']",
}
"""Where a model is not what the lists say, and why."""


def test_every_command_is_documented() -> None:
    assert set(FIELDS) == set(COMMANDS)


@pytest.mark.parametrize("action", COMMANDS)
def test_a_command_goes_where_it_is_documented(action: str) -> None:
    command = COMMANDS[action]
    path = command.path("ID").replace("ID", "{call_control_id}")
    assert (command.method, path) == (FIELDS[action]["method"], FIELDS[action]["path"])


@pytest.mark.parametrize("action", COMMANDS)
def test_a_model_has_every_field_as_documented(action: str) -> None:
    problems = Comparison(COMMANDS[action], exactly=True).problems(FIELDS[action]["fields"])
    unexpected = [
        problem
        for problem in problems
        if not problem.partition(": ")[2].startswith(OTHERWISE.get((action, problem.partition(": ")[0]), "nothing"))
    ]
    assert unexpected == []
    assert len(problems) == sum(where == action for where, _ in OTHERWISE)


@pytest.mark.parametrize("action", COMMANDS)
def test_a_model_has_no_field_of_its_own(action: str) -> None:
    assert set(COMMANDS[action].model_json_schema()["properties"]) == set(FIELDS[action]["fields"])


def test_a_field_that_is_missing_or_different_is_found() -> None:
    compare = Comparison(COMMANDS["gather"], exactly=True).problems
    assert compare({"new": {"type": "string"}}) == ["/new: missing"]
    assert compare({"maximum_digits": {"type": "string", "default": 4, "maximum": 9}}) == [
        "/maximum_digits: is {'integer'}, documented {'string'}",
        "/maximum_digits: default is 128, documented 4",
        "/maximum_digits: maximum is {128}, documented 9",
    ]
    nested = {"type": "object", "fields": {"pitch": {"type": "number"}, "depth": {"type": "number"}}}
    assert Comparison(COMMANDS["answer"], exactly=True).problems({"sound_modifications": nested}) == [
        "/sound_modifications/depth: missing"
    ]
    branch = {"type": {"type": "string", "enum": ["parrot"]}}
    assert Comparison(COMMANDS["speak"], exactly=True).problems(
        {"voice_settings": {"type": "object", "any_of": [branch]}}
    ) == ["/voice_settings: no branch for [['parrot']]"]
