"""The code in docs/sinks.md does what the page says."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from gateway import AudioFrame, Delivery, Restart, Settings
from gateway.plugins import open_sinks
from gateway.sinks.null import NullSink
from gateway.sinks.slot import SinkState
from tests.gateway.sinks.streams import Sinks

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "sinks.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SINK, ITS_TEST = BLOCKS[:2]


@pytest.fixture
def written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The sink and its test as the guide has them, as modules; here, the test's."""
    (tmp_path / "first_heard.py").write_text(SINK, "utf-8")
    (tmp_path / "its_test.py").write_text(ITS_TEST, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("its_test")
    for name in ("first_heard", "its_test"):
        monkeypatch.delitem(sys.modules, name)


def test_the_sink_of_the_guide_passes_its_test(written_down: ModuleType) -> None:
    written_down.test_the_first_loud_frame_of_each_side_counts()


async def test_the_sink_of_the_guide_runs_by_the_name_that_the_guide_gives_it(
    written_down: ModuleType, tmp_path: Path
) -> None:
    (names,) = re.findall(r"^GATEWAY_SINKS=(\S+) telnyx-gateway serve$", GUIDE, re.MULTILINE)
    with capture_logs():
        async with AsyncExitStack() as stack:
            settings = Settings(sinks=names, data_dir=tmp_path)
            sinks = Sinks(dict(await open_sinks(settings, stack=stack, log=structlog.get_logger())))
            async with sinks.running():
                sinks.write(AudioFrame("inbound", np.full(160, 2000, np.int16), 8000, 80))
    assert sinks.told("first_heard:FirstHeard")["first_heard"] == {"inbound": 0.01}


def test_the_sink_of_the_guide_has_ten_lines_and_is_the_one_among_the_examples() -> None:
    example = (ROOT / "examples" / "first_heard.py").read_text("utf-8")
    assert example.partition('"""\n\n')[2] == SINK
    (sink,) = (node for node in ast.parse(SINK).body if isinstance(node, ast.ClassDef))
    lines = ast.unparse(sink).splitlines()
    assert len([line for line in lines if line.strip()]) <= 10


def test_the_guide_has_the_wishes_their_defaults_the_states_and_the_keys_of_the_report() -> None:
    restart, delivery = Restart(), Delivery()
    for field in Delivery.__dataclass_fields__:
        assert re.search(rf"`{field}\b|\b{field}=", GUIDE), field
    for field in Restart.__dataclass_fields__:
        assert f"{field}={getattr(restart, field)}" in GUIDE
    assert f"{delivery.frames} are five seconds" in GUIDE
    assert f"`close_timeout` ({delivery.close_timeout:g} s)" in GUIDE
    assert f"`linger` ({delivery.linger} s" in GUIDE
    assert f"`spill_bytes` ({delivery.spill_bytes // 2**20} MiB" in GUIDE
    for word in (*SinkState, *Sinks({"null": NullSink}).told("null")):
        assert f"`{word}`" in GUIDE, word


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]*)\)", GUIDE):
        assert target in anchors or (ROOT / "docs" / target).is_file(), target
