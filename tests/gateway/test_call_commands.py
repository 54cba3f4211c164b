"""A call and the world beside its sound: commands to Telnyx, and events for whoever follows the call."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from audio_codecs import encode_ulaw
from gateway.errors import ControlError, SinkError
from gateway.media.frame import AudioFrame
from gateway.protocol.commands import Command, Hangup, Refer, SendDtmf, Transfer
from tests.fakes import FakeLine, ListSink, noise, settle


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Telnyx:
    """Takes commands, or refuses them."""

    def __init__(self, refusal: ControlError | None = None) -> None:
        self.taken: list[tuple[str, Command]] = []
        self.refusal = refusal

    async def command(self, call_control_id: str, command: Command) -> Mapping[str, Any]:
        self.taken.append((call_control_id, command))
        if self.refusal is not None:
            raise self.refusal
        return {"result": "ok"}


async def test_commands_are_sent_for_this_call() -> None:
    telnyx = Telnyx()
    call = FakeLine(command=telnyx.command).call
    assert await call.command(SendDtmf(digits="12")) == {"result": "ok"}
    await call.hangup()
    await call.transfer("+15550100009", timeout_secs=20)
    await call.refer("sip:desk@example.com")
    assert telnyx.taken == [
        ("v3:call", SendDtmf(digits="12")),
        ("v3:call", Hangup()),
        ("v3:call", Transfer(to="+15550100009", timeout_secs=20)),
        ("v3:call", Refer(sip_address="sip:desk@example.com")),
    ]


async def test_a_wrong_command_is_never_sent() -> None:
    telnyx = Telnyx()
    with pytest.raises(ValidationError, match="timeout_secs"):
        await FakeLine(command=telnyx.command).call.transfer("+15550100009", timeout_secs="soon")
    assert telnyx.taken == []


async def test_a_refusal_is_for_whoever_gave_the_command() -> None:
    telnyx = Telnyx(ControlError("transfer: refused", status=422, code="90018"))
    with pytest.raises(ControlError, match="refused"):
        await FakeLine(command=telnyx.command).call.transfer("+15550100009")


async def test_without_a_key_no_command_can_be_sent() -> None:
    with pytest.raises(ControlError, match="hangup: not sent: TELNYX_API_KEY is not set"):
        await FakeLine().call.hangup()


async def test_what_happens_to_a_sink_is_published() -> None:
    class Full(ListSink):
        def write(self, frame: AudioFrame) -> None:
            raise SinkError("full")

    events: list[tuple[str, str, Mapping[str, Any]]] = []
    line = FakeLine(sinks={"disk": Full().factory}, publish=lambda *event: events.append(event))
    async with line.running():
        line.say(encode_ulaw(noise(160)))
        await settle()
    assert events == [("v3:call", "sink.failed", {"sink": "disk", "error": "SinkError: full", "restart_in": None})]


async def test_a_sink_publishes_for_its_call() -> None:
    sink, events = ListSink(), list[tuple[str, str, Mapping[str, Any]]]()
    line = FakeLine(sinks={"ear": sink.factory}, publish=lambda *event: events.append(event))
    async with line.running():
        sink.opened[0].publish("transcription.final", {"text": "yes"})
    assert events == [("v3:call", "transcription.final", {"text": "yes"})]


async def test_nobody_has_to_follow_a_call() -> None:
    FakeLine().call.publish("anything", {})
