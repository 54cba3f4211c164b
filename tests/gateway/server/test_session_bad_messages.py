import pytest

from gateway.call import EndReason
from gateway.protocol.stream import CarrierStream
from gateway.server.transport import CloseCode
from tests.gateway.control.conftest import Log
from tests.gateway.server.session_line import BODY, Line

BAD = "this is no message"
MEDIA = (
    '{"event": "media", "sequence_number": "2", "stream_id": "S", '
    '"media": {"track": "inbound", "chunk": "%s", "timestamp": "0", "payload": "%s"}}'
)


async def test_nine_bad_messages_are_borne_and_the_tenth_within_ten_seconds_is_not(log: Log) -> None:
    line = Line(log)
    line.begin()
    for _ in range(9):
        line.say(BAD)
        line.clock.now += 1.0
    line.say(line.carrier.send_media("inbound", b"\xff" * 160, timestamp=0))
    assert (line.closed, line.packets, line.bad) == ([], 1, 9)
    line.say(BAD)
    assert line.closed == [(CloseCode.POLICY_VIOLATION, "too many bad messages")]
    assert (line.ended, line.bad) == ([EndReason.PROTOCOL_ERROR], 10)
    assert line.calls[0].end_reason is EndReason.PROTOCOL_ERROR


async def test_bad_messages_may_go_on_for_ever_if_they_are_rare(log: Log) -> None:
    line = Line(log)
    line.begin()
    for _ in range(100):
        line.say(BAD)
        line.clock.now += 1.2
    assert (line.closed, line.bad) == ([], 100)


@pytest.mark.parametrize("before_start", [True, False])
async def test_bad_messages_before_the_start_count_as_well(log: Log, before_start: bool) -> None:
    line = Line(log, token=before_start)
    line.session.link_open() if before_start else line.begin()
    for _ in range(10):
        line.say(BAD)
    assert line.ended == [EndReason.PROTOCOL_ERROR]


async def test_media_before_start_is_counted_and_does_no_harm(log: Log) -> None:
    line = Line(log)
    line.session.link_open()
    early = CarrierStream("STREAM", BODY)
    line.say(early.send_media("inbound", b"\xff" * 160, timestamp=0))
    line.say(early.send_connected(), early.send_media("inbound", b"\xff" * 160, timestamp=0))
    assert (line.bad, line.calls) == (2, [])
    line.say(line.carrier.send_start(), line.carrier.send_media("inbound", b"\xff" * 160, timestamp=0))
    assert (line.bad, line.packets) == (2, 1)


async def test_a_second_start_is_counted_and_ignored(log: Log) -> None:
    line = Line(log)
    line.begin()
    line.say(CarrierStream("OTHER", BODY).send_start())
    line.say(line.carrier.send_media("inbound", b"\xff" * 160, timestamp=0))
    assert (line.bad, line.packets, line.closed) == (1, 1, [])
    assert line.calls[0].stream_id == "STREAM"


async def test_a_payload_that_cannot_be_decoded_is_counted_and_concealed_and_ten_are_too_many(log: Log) -> None:
    line = Line(log)
    line.begin()
    for _ in range(9):
        line.say(line.carrier.send_media("inbound", b"", timestamp=0))
    assert (line.bad, line.closed) == (9, [])
    assert line.calls[0].report()["received"]["frames_concealed"] == 9
    line.say(line.carrier.send_media("inbound", b"", timestamp=0))
    assert line.ended == [EndReason.PROTOCOL_ERROR]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"event": "media"}',
        MEDIA % ("-1", "////"),
        MEDIA % ("1", "not base64"),
        '{"event": "dtmf", "sequence_number": "\u0663", "stream_id": "S", "dtmf": {"digit": "5"}}',
        '{"event": "mark", "sequence_number": 99999999999999999999, "stream_id": "S", "mark": {"name": "m"}}',
        "[" * 100_000,
        "\x00",
    ],
    ids=range(11),
)
async def test_a_message_that_is_none_is_counted_once_and_the_stream_goes_on(log: Log, text: str) -> None:
    line = Line(log)
    line.begin()
    line.say(text)
    line.say(line.carrier.send_media("inbound", b"\xff" * 160, timestamp=0))
    assert (line.bad, line.packets, line.closed) == (1, 1, [])


async def test_an_unknown_kind_of_message_is_not_bad(log: Log) -> None:
    line = Line(log)
    line.begin()
    for _ in range(20):
        line.say('{"event": "something_new", "anything": 1}')
    assert (line.bad, line.closed) == (0, [])


async def test_an_error_from_the_carrier_is_told_and_the_stream_goes_on(log: Log) -> None:
    line = Line(log)
    line.session.link_open()
    line.say(line.carrier.send_error(100002, "early"), line.carrier.send_connected(), line.carrier.send_start())
    line.say(line.carrier.send_error(100004, "no base64"))
    assert (line.bad, line.closed) == (0, [])
    assert line.calls[0].report()["errors_from_telnyx"] == 1
