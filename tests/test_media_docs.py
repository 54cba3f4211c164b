"""`docs/media.md` leaves nothing out that the report of a call says of its sound."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.call import EndReason
from gateway.media.ledger import Cause
from tests.fakes import FakeLine
from tests.gateway.test_forked_call import Fork
from tests.rtp import RtpSender, voices

ROOT = Path(__file__).parent.parent
WORDS = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "media.md").read_text("utf-8")))
NAMES = {"inbound", "outbound"}  # keys that are somebody's name


def keys(report: Mapping[str, Any]) -> Iterator[str]:
    for key, value in report.items():
        if key not in NAMES:
            yield key
        if isinstance(value, Mapping):
            yield from keys(value)


async def report_of_a_stream() -> Mapping[str, Any]:
    line = FakeLine()
    line.say(*voices(10))
    return line.call.report()


async def report_of_a_fork() -> Mapping[str, Any]:
    fork = Fork()
    fork.send(RtpSender().voice(voices(10)))
    return fork.call.report()


@pytest.mark.parametrize("make", [report_of_a_stream, report_of_a_fork])
async def test_every_key_of_a_report_is_explained(make: Any) -> None:
    report = dict(await make())
    played = report.pop("played") or {}
    assert set(keys(report)) <= WORDS
    assert set(played) <= WORDS


def test_every_end_and_every_cause_is_explained() -> None:
    assert {reason.value for reason in EndReason} <= WORDS
    assert set(get_args(Cause)) <= WORDS
