"""The list of fields itself: nobody has edited it by hand."""

import importlib.metadata
import json
import runpy

import pytest

from tests.gateway.protocol.fields import VECTORS


def test_the_list_is_what_its_script_makes() -> None:
    fields = json.loads((VECTORS / "fields.json").read_text("utf-8"))
    if importlib.metadata.version("telnyx") != fields["sdk"]:
        pytest.skip(f"made from telnyx {fields['sdk']}")
    script = runpy.run_path(str(VECTORS / "make_fields.py"))
    described = json.loads((VECTORS / "described.json").read_text("utf-8"))
    assert script["combine"](described) == fields
