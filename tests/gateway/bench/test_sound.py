import numpy as np
import pytest

from audio_codecs import open_codec
from gateway.bench.content import FRAME
from gateway.bench.sound import SoundAnswers, find
from gateway.bench.tally import Meter, Tally
from tests.gateway.bench.far_side import content


def test_a_piece_is_found_where_it_stands() -> None:
    sound = np.random.default_rng(2).normal(0, 3000, 16_000).astype(np.int16)
    place, alike = find(sound[5001:9001] // 3, sound)
    assert place == 5001
    assert alike > 0.99


def test_a_piece_of_something_else_is_like_nothing() -> None:
    dice = np.random.default_rng(3)
    _, alike = find(dice.normal(0, 3000, 4000).astype(np.int16), dice.normal(0, 3000, 16_000).astype(np.int16))
    assert alike < 0.2


def talk(encoding: str, clock_rate: int, *, away: float, echo: bool = True, listens: bool = True) -> Tally:
    """Two seconds with an echo that decodes and encodes, so many seconds away."""
    made = content(encoding, clock_rate)
    meter = Meter()
    meter.open(0.0)
    answers = SoundAnswers(made, meter, listens=listens)
    codec = open_codec(encoding, clock_rate, to_send=True)
    back: list[tuple[float, bytes]] = []
    for n in range(100):
        now = 10 + n * FRAME
        while back and back[0][0] <= now:
            answers.payload_came(back[0][1], back[0][0])
            back.pop(0)
        answers.frame_sent(n, now)
        heard = codec.decode(made.payloads[n])
        noise = np.random.default_rng(n).normal(0, 3000, len(heard)).astype(np.int16)
        back.append((now + away, codec.encode(heard if echo else noise)))
    return meter.take()


@pytest.mark.parametrize(
    ("encoding", "clock_rate", "delay"), [("PCMU", 8000, 0), ("G722", 8000, 3), ("OPUS", 16000, 21)]
)
def test_a_round_trip_is_found_by_the_likeness_of_the_sound(encoding: str, clock_rate: int, delay: float) -> None:
    tally = talk(encoding, clock_rate, away=0.13)
    assert tally.answered == tally.asked > 0
    median = tally.round_trips.percentile(50)
    assert median is not None
    assert 130 <= 1000 * median <= 132.5 + delay  # the rest is the codec's own


def test_noise_answers_nothing() -> None:
    tally = talk("PCMU", 8000, away=0.1, echo=False)
    assert tally.asked > 0
    assert tally.answered == 0


def test_of_calls_that_are_not_listened_to_nothing_is_asked() -> None:
    assert talk("PCMU", 8000, away=0.1, listens=False).asked == 0
