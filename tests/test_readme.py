"""The README says what is true."""

import re
from pathlib import Path

from gateway.config import Settings

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_readme_lists_every_setting_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `((?:GATEWAY|TELNYX)_[A-Z0-9_]+)` \| (?:`([^`]*)`)? \| (.*) \|$", README, re.MULTILINE)
    expected = []
    for name, field in Settings.model_fields.items():
        variable = name.upper() if name.startswith("telnyx_") else f"GATEWAY_{name.upper()}"
        default = field.default
        text = "" if default is None else ",".join(default) if name == "sinks" else str(default)
        expected.append((variable, text, field.description))
    assert rows == expected


def test_the_readme_names_only_folders_that_are_there() -> None:
    root = Path(__file__).parent.parent
    for folder in re.findall(r"`((?:gateway|codecs|tests|benchmarks|examples|docs)/[a-z_/]*)`", README):
        assert (root / folder).is_dir(), folder
