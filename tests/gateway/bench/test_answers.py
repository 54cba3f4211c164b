import base64
import json

import pytest

from gateway.bench.answers import EchoAnswers, EchoTable, PingAnswers
from gateway.bench.tally import Meter
from tests.gateway.bench.far_side import content


def echo_of(encoding: str = "PCMU") -> tuple[EchoAnswers, Meter]:
    meter = Meter()
    meter.open(0.0)
    return EchoAnswers(EchoTable(content(encoding)), meter), meter


@pytest.mark.parametrize("encoding", ["PCMU", "L16"])
@pytest.mark.parametrize(
    "text", ['{"event":"media","media":{"payload":"%s"}}', '{"media": {"x": 1, "payload" : "%s"}, "event": "media"}']
)
def test_a_frame_is_known_again_whatever_is_around_it(encoding: str, text: str) -> None:
    answers, meter = echo_of(encoding)
    answers.frame_sent(7, 1.0)
    message = (text % content(encoding).texts[7].decode()).encode()
    assert answers.take_echo(b"before" + message + b"behind", 6, 6 + len(message), 1.25)
    tally = meter.take()
    assert (tally.asked, tally.answered, tally.round_trips.longest) == (1, 1, 0.25)


def test_several_frames_in_one_message_are_read_the_slow_way() -> None:
    answers, meter = echo_of()
    payloads = content().payloads
    for number in (3, 4):
        answers.frame_sent(number, 1.0)
    joined = payloads[3] + payloads[4]
    text = json.dumps({"event": "media", "media": {"payload": base64.b64encode(joined).decode()}}).encode()
    assert not answers.take_echo(text, 0, len(text), 2.0)
    assert answers.payload_came(joined, 2.0) == pytest.approx(0.04)
    assert meter.take().answered == 2


def test_an_answer_that_comes_twice_counts_once() -> None:
    answers, meter = echo_of()
    answers.frame_sent(3, 1.0)
    for _ in range(2):
        answers.payload_came(content().payloads[3], 2.0)
    tally = meter.take()
    assert (tally.answered, tally.doubled) == (1, 1)


def test_other_sound_is_foreign() -> None:
    answers, meter = echo_of()
    answers.frame_sent(3, 1.0)
    answers.payload_came(bytes(160), 2.0)
    tally = meter.take()
    assert (tally.answered, tally.foreign, tally.loss) == (0, 1, 1.0)


def test_only_what_was_sent_in_the_window_counts_however_late_it_is_answered() -> None:
    answers, meter = echo_of()
    payloads = content().payloads
    answers.frame_sent(1, 1.0)
    meter.open(1.5)
    answers.frame_sent(2, 2.0)
    meter.close(2.5)
    answers.frame_sent(3, 3.0)
    for number in (1, 2, 3):
        answers.payload_came(payloads[number], 4.0)
    tally = meter.take()
    assert (tally.asked, tally.answered, tally.round_trips.longest) == (1, 1, 2.0)


def test_a_ping_is_answered_by_its_pong() -> None:
    meter = Meter()
    meter.open(0.0)
    answers = PingAnswers(content(), meter)
    first, second = answers.next_ping(1.0), answers.next_ping(2.0)
    assert first is not None
    assert second is not None
    answers.pong_came(second, 2.5)
    answers.pong_came(second, 2.6)
    answers.pong_came(b"never sent", 2.7)
    tally = meter.take()
    assert (tally.asked, tally.answered, tally.round_trips.longest, tally.loss) == (2, 1, 0.5, 0.5)
