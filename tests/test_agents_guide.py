"""The agent in docs/agents.md does what the page says, and the page has every option."""

import base64
import re
from pathlib import Path

import pytest

from gateway.agents.pipeline.settings import PipelineOptions
from gateway.config import Settings
from gateway.simulator.casting import InlineScript, find_script
from gateway.simulator.script import library
from tests.integration.test_faults import bench, in_time_lapse

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "agents.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
AGENT, ITS_TEST = BLOCKS[:2]


def caller() -> InlineScript:
    (toml,) = re.findall(r'^CALLER = """\n(.*?)"""$', ITS_TEST, re.MULTILINE | re.DOTALL)
    wav = (next(iter(library().values())).parent / "booking.wav").read_bytes()
    return InlineScript(toml=toml, sounds={"booking.wav": base64.b64encode(wav).decode()})


def test_the_agent_of_the_guide_does_what_its_test_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "receptionist.py").write_text(AGENT, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    @in_time_lapse
    async def test(folder: Path) -> None:
        async with bench(folder / "data", agent="receptionist:Receptionist", sinks=()) as there:
            call = there.simulator.place_call(
                from_="+15550100001",
                to="+15550100002",
                script=caller(),
                webhook_url=f"{there.gateway.http_url}/webhooks/telnyx",
            )
            await call.wait_finished()
            record = await there.record(call)
        steps = call.describe()["person"]
        assert [step["failure"] for step in steps] == [None] * len(steps)
        assert len(steps) >= len(find_script(caller()).steps) - 1  # the agent has hung up before the last
        assert call.leg.hangup_source == "callee"
        assert call.journal.messages_received["clear"] >= 1
        assert record["media"]["agent_error"] is None

    test(tmp_path)


def test_the_agent_of_the_guide_has_twenty_lines() -> None:
    lines = [line for line in AGENT.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 22


def test_the_guide_has_every_option_of_the_pipeline_with_its_default() -> None:
    section = GUIDE.partition("\n## pipeline\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|(.*?)\|", section, re.MULTILINE))
    assert list(rows) == list(PipelineOptions.model_fields)
    for name, field in PipelineOptions.model_fields.items():
        if isinstance(field.default, int | float):
            assert float(rows[name]) == field.default, name


def test_the_guide_names_only_settings_that_there_are() -> None:
    for name in re.findall(r"GATEWAY_([A-Z_]+)", GUIDE):
        assert name.lower() in Settings.model_fields, name


def test_every_heading_that_is_linked_to_is_there() -> None:
    titles = re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\((#[^)]*)\)", GUIDE):
        assert target in anchors, target
