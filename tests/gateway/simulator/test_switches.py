"""Switches and faults: all of them are documented, with their defaults where a table has room for one."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.simulator.faults import Faults
from gateway.simulator.switches import Switches

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text("utf-8")


def rows(heading: str) -> str:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(line for line in section.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("name", Switches.model_fields)
def test_every_switch_is_documented_and_its_default_comes_first(name: str) -> None:
    (row,) = (row for row in rows("What Telnyx leaves open").splitlines() if f"`{name}`" in row.split("|")[1])
    names = re.findall(r"`(\w+)`", row.split("|")[1])
    values = [value.strip() for value in row.split("|")[2].split(",")]
    default = Switches.model_fields[name].default
    shown = values[names.index(name)] if len(names) > 1 and len(values) == len(names) else values[0]
    expected = f"{default:g}" if isinstance(default, float) else str(default)
    assert shown.split("/")[0].strip("`") == expected


@pytest.mark.parametrize("family", [name for name in Faults.model_fields if name != "seed"])
def test_every_fault_is_documented(family: str) -> None:
    model = type(getattr(Faults(), family))
    table = rows("What goes wrong")
    mine = "\n".join(row for row in table.splitlines() if f"`{family}." in row)
    for name in model.model_fields:
        assert f"`{name}`" in mine or f"`{family}.{name}`" in mine, name


def test_a_switch_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValidationError):
        Switches.model_validate({"weather": "fine"})
