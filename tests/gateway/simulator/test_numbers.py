"""What happens when a number is called."""

import base64

import numpy as np
import pytest
from pydantic import ValidationError

from audio_codecs import Samples
from gateway.simulator.amd import Answerer
from gateway.simulator.line import Speaker
from gateway.simulator.numbers import BUILT_IN, ENDINGS, NumberRule, Numbers
from gateway.simulator.refusal import Refusal
from gateway.simulator.wav import write_wav

from .application import speech


def wav(samples: Samples) -> str:
    return base64.b64encode(write_wav(samples, sample_rate=8000)).decode()


def said(caller: Speaker, seconds: float) -> Samples:
    return np.concatenate([caller.speak() for _ in range(round(seconds * 50))])


def test_every_number_answers_that_has_no_rule() -> None:
    rule = Numbers().rule("+15550100001")
    assert (rule.then, rule.ring_secs, rule.hang_up_secs) == ("answer", 1.0, None)


@pytest.mark.parametrize("number", ["+15550100486", "+15550100486;secure=srtp", "+15550100486,200"])
def test_some_have_one_from_the_beginning(number: str) -> None:
    assert Numbers().rule(number).then == "busy"


def test_the_last_digits_of_those_that_do_not_answer_are_the_sip_status() -> None:
    for number, rule in BUILT_IN.items():
        if rule.then in ENDINGS:
            assert number.endswith(ENDINGS[rule.then].sip)


def test_a_rule_takes_the_place_of_another_until_it_is_reset() -> None:
    numbers = Numbers({"+1": NumberRule(then="reject")})
    assert numbers.rule("+1").then == "reject"
    for number in ("+1", "+15550100486", "default"):
        numbers.set(number, NumberRule(then="nothing"))
    assert numbers.rule("+15550100486").then == numbers.rule("+2").then == "nothing"
    for number in ("+1", "+15550100486", "default"):
        numbers.reset(number)
    assert [numbers.rule(number).then for number in ("+1", "+15550100486", "+2")] == ["answer", "busy", "answer"]


def test_rules_are_bounded() -> None:
    numbers = Numbers()
    for number in range(100 - len(numbers.rules())):
        numbers.set(str(number), NumberRule())
    with pytest.raises(Refusal, match="100 rules"):
        numbers.set("one more", NumberRule())
    numbers.set("0", NumberRule(then="busy"))
    numbers.set("default", NumberRule(then="busy"))


def test_a_person_says_the_recording_and_stays_or_goes() -> None:
    recorded = speech(0.1)
    stays = NumberRule(audio=wav(recorded)).speaker()
    np.testing.assert_array_equal(said(stays, 1.0)[:800], recorded)
    assert not stays.finished
    goes = NumberRule(audio=wav(recorded), hang_up_secs=0.2).speaker()
    said(goes, 0.3)
    assert not goes.finished
    goes.speak()
    assert goes.finished


def test_a_machine_beeps_after_its_greeting_and_detection_knows_it() -> None:
    line = said(NumberRule(who="machine", greeting_secs=2.0).speaker(), 4.0)
    loud = np.flatnonzero(np.abs(line) > 1000) / 8000
    assert (round(loud[0], 2), round(loud[-1], 2)) == (2.0, 2.5)
    assert not said(NumberRule(who="machine", greeting_secs=2.0, beep=False).speaker(), 4.0).any()
    recorded = NumberRule(who="machine", greeting_secs=2.0, audio=wav(speech(0.5)))
    assert recorded.answerer() == Answerer("machine", 0.5, beep=True)


def test_sound_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="audio"):
        NumberRule(audio="?")
    with pytest.raises(ValidationError, match="not a WAV file"):
        NumberRule(audio=base64.b64encode(b"ID3").decode())
