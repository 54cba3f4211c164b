import io
import wave
from collections.abc import Callable

import numpy as np
import pytest

from audio_codecs import Samples, open_codec
from gateway.media.tones import make_tones
from gateway.simulator.person import Person
from gateway.simulator.script import parse_script

FRAME = 160
SILENCE = np.zeros(FRAME, np.int16)
NOISE = np.random.default_rng(7).integers(-9000, 9000, 100 * FRAME).astype(np.int16)
LOUD = NOISE[:FRAME]


def wav(samples: Samples, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


SOUNDS = {"a.wav": wav(NOISE[: 5 * FRAME + 30]), "fast.wav": wav(LOUD, 16000)}


def person(steps: str) -> Person:
    script = parse_script(steps, SOUNDS.__getitem__)
    return Person(script, sample_rate=8000)


def live(someone: Person, hears: Callable[[int], Samples] = lambda frame: SILENCE, *, most: int = 1000) -> Samples:
    """Let the person hear and speak until they hang up; returns what they said."""
    said = []
    for frame in range(most):
        someone.hear(hears(frame))
        spoken = someone.speak()
        if someone.finished:
            break
        said.append(spoken)
    return np.concatenate(said) if said else SILENCE[:0]


def test_what_is_said_is_the_file_filled_up_to_whole_frames() -> None:
    said = live(person('[[step]]\nsay = "a.wav"\n[[step]]\nwait = 0.1'))
    assert len(said) == 11 * FRAME
    assert np.array_equal(said[: 5 * FRAME + 30], NOISE[: 5 * FRAME + 30])
    assert not said[5 * FRAME + 30 :].any()


def test_keys_are_tones_with_pauses_and_told_as_they_begin() -> None:
    someone = person('[[step]]\npress = "1#"\ntone_ms = 100\ngap_ms = 60')
    told = []
    said = []
    for frame in range(20):
        someone.hear(SILENCE)
        said.append(someone.speak())
        told += [(key, frame) for key in someone.take_pressed()]
    assert told == [("1", 0), ("#", 8)]
    tones = np.concatenate(list(make_tones("1#", 8000, duration=0.1, gap=0.06)))
    assert np.array_equal(np.concatenate(said[:16]), tones)


def test_a_person_with_no_step_left_has_hung_up_and_is_silent() -> None:
    someone = person("[[step]]\nwait = 0.02\n[[step]]\nhang_up = true\n[[step]]\nwait = 9")
    assert len(live(someone)) == FRAME
    assert someone.finished
    assert not someone.speak().any()
    assert [result.verb for result in someone.results] == ["wait", "hang_up"]


def test_speech_is_heard_after_three_loud_frames_and_the_time_it_took_is_told() -> None:
    someone = person('[[step]]\nlisten = "speech"\nwithin = 1.0')
    live(someone, lambda frame: LOUD if frame >= 10 else SILENCE)
    (result,) = someone.results
    assert (result.failure, round(result.took, 3)) == (None, 0.24)


def test_a_click_is_no_speech() -> None:
    someone = person('[[step]]\nlisten = "speech"\nwithin = 1.0')
    live(someone, lambda frame: LOUD if frame % 5 == 0 else SILENCE)
    assert someone.failure == "step 1 (listen): no speech was heard within 1 s"


def test_a_failed_step_ends_the_script() -> None:
    someone = person('[[step]]\nlisten = "speech"\nwithin = 0.1\n[[step]]\nsay = "a.wav"')
    assert not live(someone).any()
    assert [result.verb for result in someone.results] == ["listen"]


def test_who_interrupts_waits_for_speech_lets_it_go_on_and_speaks() -> None:
    someone = person('[[step]]\ninterrupt = "a.wav"\nafter = 0.2')
    said = live(someone, lambda frame: LOUD if frame >= 4 else SILENCE)
    start = np.flatnonzero(said)[0] // FRAME
    assert start == 4 + 2 + 10
    assert someone.failure is None


@pytest.mark.parametrize(("frames_more", "passes"), [(0, True), (9, True), (10, True), (11, False)])
def test_silence_must_begin_in_time_after_clear(frames_more: int, passes: bool) -> None:
    someone = person('[[step]]\nlisten = "silence"\nafter = "clear"\nwithin = 0.2\nlasting = 0.1')

    def hears(frame: int) -> Samples:
        if frame == 20:
            someone.cleared()
        return LOUD if frame < 20 + frames_more else SILENCE

    live(someone, hears)
    assert (someone.failure is None) is passes


def test_a_pause_between_two_words_is_no_silence() -> None:
    someone = person('[[step]]\nlisten = "silence"\nwithin = 0.5\nlasting = 0.2')
    live(someone, lambda frame: SILENCE if frame % 5 else LOUD)
    assert someone.failure == "step 1 (listen): no silence began within 0.5 s"


def test_a_clear_that_never_comes_is_a_failure() -> None:
    someone = person('[[step]]\nlisten = "silence"\nafter = "clear"')
    live(someone)
    assert someone.failure == "step 1 (listen): no `clear` was sent within 10 s"


@pytest.mark.parametrize("offset", [0, 1, 77])
@pytest.mark.parametrize("encoding", ["L16", "PCMU", "PCMA"])
def test_audio_is_heard_exactly_wherever_it_begins(encoding: str, offset: int) -> None:
    someone = person('[[step]]\nlisten = "audio"\nfile = "a.wav"\nwithin = 1')
    codec = open_codec(encoding, 8000)
    sound = codec.decode(codec.encode(NOISE[: 5 * FRAME + 30]))
    line = np.concatenate((np.zeros(offset, np.int16), sound, np.zeros(999, np.int16)))
    live(someone, lambda frame: line[frame * FRAME : (frame + 1) * FRAME])
    assert someone.failure is None


def test_audio_with_one_other_sample_is_not_that_audio() -> None:
    someone = person('[[step]]\nlisten = "audio"\nfile = "a.wav"\nwithin = 1')
    line = np.concatenate((NOISE[: 5 * FRAME + 30], np.zeros(999, np.int16)))
    line[400] += 1
    live(someone, lambda frame: line[frame * FRAME : (frame + 1) * FRAME])
    assert someone.failure == "step 1 (listen): a.wav was not heard within 1 s"


def test_a_sound_of_another_rate_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"fast\.wav: .* 16000"):
        person('[[step]]\nsay = "fast.wav"')


def test_results_are_told_as_json_ready_values() -> None:
    someone = person("[[step]]\nwait = 0.1")
    live(someone)
    assert someone.results[0].describe() == {"step": 1, "verb": "wait", "began": 0.0, "took": 0.1, "failure": None}
