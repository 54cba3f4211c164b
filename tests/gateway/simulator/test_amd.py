"""What answering machine detection reports, against the tables of Telnyx's page."""

from typing import get_args

import pytest

from gateway.protocol.commands import Dial
from gateway.simulator.amd import Answerer, Who, detect

MODES = [mode for mode in get_args(Dial.model_fields["answering_machine_detection"].annotation) if mode != "disabled"]
DETECTED, GREETED = "call.machine.detection.ended", "call.machine.greeting.ended"
PREMIUM, PREMIUM_GREETED = "call.machine.premium.detection.ended", "call.machine.premium.greeting.ended"
SCREENED = "call.machine.premium.call_screening.detected"
HUMAN, MACHINE, SILENT = Answerer("human_residence"), Answerer("machine", 4.0), Answerer("machine", 4.0, beep=False)
IOS = "premium_ios_call_screening_detection"


@pytest.mark.parametrize(
    ("mode", "answerer", "found"),
    [
        ("disabled", MACHINE, []),
        ("detect", HUMAN, [(1.8, DETECTED, "human")]),
        ("detect", MACHINE, [(3.5, DETECTED, "machine")]),
        ("detect", Answerer("silence"), [(3.5, DETECTED, "machine")]),
        ("detect", Answerer("fax"), [(1.0, DETECTED, "machine")]),
        ("detect", Answerer("unclear"), [(3.5, DETECTED, "not_sure")]),
        ("detect", Answerer("call_screening", 2.0), [(2.8, DETECTED, "machine")]),
        ("detect_beep", HUMAN, [(1.8, DETECTED, "human")]),
        ("detect_beep", MACHINE, [(3.5, DETECTED, "machine"), (4.5, GREETED, "beep_detected")]),
        ("detect_beep", SILENT, [(3.5, DETECTED, "machine")]),
        ("detect_words", MACHINE, [(3.5, DETECTED, "machine"), (4.5, GREETED, "beep_detected")]),
        ("detect_words", SILENT, [(3.5, DETECTED, "machine"), (33.5, GREETED, "not_sure")]),
        ("detect_words", Answerer("machine", 40.0), [(3.5, DETECTED, "machine"), (33.5, GREETED, "not_sure")]),
        ("greeting_end", MACHINE, [(3.5, DETECTED, "machine"), (4.5, GREETED, "ended")]),
        ("greeting_end", SILENT, [(3.5, DETECTED, "machine"), (5.5, GREETED, "ended")]),
        ("greeting_end", Answerer("machine", 20.0), [(3.5, DETECTED, "machine"), (8.5, GREETED, "not_sure")]),
        ("premium", HUMAN, [(1.8, PREMIUM, "human_residence")]),
        ("premium", Answerer("human_business"), [(1.8, PREMIUM, "human_business")]),
        ("premium", Answerer("silence"), [(3.5, PREMIUM, "silence")]),
        ("premium", Answerer("fax"), [(1.0, PREMIUM, "fax_detected")]),
        ("premium", Answerer("unclear"), [(30.0, PREMIUM, "not_sure")]),
        ("premium", Answerer("call_screening"), [(1.8, PREMIUM, "machine")]),
        ("premium", MACHINE, [(3.5, PREMIUM, "machine"), (4.5, PREMIUM_GREETED, "beep_detected")]),
        ("premium", Answerer("machine", 0.2), [(0.7, PREMIUM_GREETED, "beep_detected")]),
        ("premium", SILENT, [(3.5, PREMIUM, "machine"), (30.0, PREMIUM_GREETED, "no_beep_detected")]),
        (IOS, HUMAN, [(1.8, PREMIUM, "human_residence")]),
        (IOS, MACHINE, [(3.5, PREMIUM, "machine"), (4.0, PREMIUM_GREETED, "prompt_ended")]),
        (
            IOS,
            Answerer("call_screening", 2.0),
            [(2.8, PREMIUM, "machine"), (2.8, SCREENED, "screening"), (5.6, PREMIUM, "human_residence")],
        ),
    ],
)
def test_the_results_and_their_times(mode: str, answerer: Answerer, found: list[tuple[float, str, str]]) -> None:
    reported = detect(mode, {}, answerer)
    assert [(round(after, 3), event_type, result) for after, event_type, result in reported] == found


@pytest.mark.parametrize(
    ("mode", "config", "answerer", "found"),
    [
        ("detect", {"after_greeting_silence_millis": 300}, HUMAN, [(1.3, "human")]),
        ("detect", {"total_analysis_time_millis": 1000}, HUMAN, [(1.0, "not_sure")]),
        ("detect", {"greeting_duration_millis": 1500}, MACHINE, [(1.5, "machine")]),
        ("detect", {"initial_silence_millis": 500}, Answerer("silence"), [(0.5, "machine")]),
        ("greeting_end", {"greeting_silence_duration_millis": 500}, SILENT, [(3.5, "machine"), (4.5, "ended")]),
        (
            "greeting_end",
            {"greeting_total_analysis_time_millis": 1000},
            Answerer("machine", 9),
            [(3.5, "machine"), (4.5, "not_sure")],
        ),
        ("premium", {"total_analysis_time_millis": 2000}, MACHINE, [(2.0, "not_sure")]),
        (
            "premium",
            {"total_analysis_time_millis": 4000},
            MACHINE,
            [(3.5, "machine"), (4.0, "no_beep_detected")],
        ),
        (IOS, {"prompt_end_timeout_millis": 200}, MACHINE, [(3.5, "machine"), (3.7, "prompt_ended")]),
    ],
)
def test_the_lengths_that_were_asked_for_count(
    mode: str, config: dict[str, object], answerer: Answerer, found: list[tuple[float, str]]
) -> None:
    assert [(round(after, 3), result) for after, _, result in detect(mode, config, answerer)] == found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("who", get_args(Who))
def test_everybody_is_reported_in_every_mode_and_in_order(mode: str, who: Who) -> None:
    found = detect(mode, {}, Answerer(who))
    assert found
    assert [one.after for one in found] == sorted(one.after for one in found)
