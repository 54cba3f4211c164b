import json

from gateway.media.ledger import Gap, GapLedger


def test_a_gap_is_entered_as_told() -> None:
    ledger = GapLedger()
    ledger.add("inbound", 320, 160, "lost")
    assert ledger.gaps == [Gap("inbound", 320, 160, "lost")]
    assert (ledger.gaps_total, ledger.samples_total) == (1, 160)


def test_gaps_that_touch_become_one() -> None:
    ledger = GapLedger()
    ledger.add("inbound", 320, 160, "lost")
    ledger.add("inbound", 480, 160, "lost")
    assert ledger.gaps == [Gap("inbound", 320, 320, "lost")]
    assert (ledger.gaps_total, ledger.samples_total) == (1, 320)


def test_gaps_of_two_tracks_merge_each_with_their_own() -> None:
    ledger = GapLedger()
    for position in (0, 160):
        ledger.add("inbound", position, 160, "lost")
        ledger.add("outbound", position, 160, "lost")
    assert ledger.gaps == [Gap("inbound", 0, 320, "lost"), Gap("outbound", 0, 320, "lost")]


def test_gaps_of_two_causes_stay_apart() -> None:
    ledger = GapLedger()
    ledger.add("inbound", 0, 160, "lost")
    ledger.add("inbound", 160, 160, "bad_payload")
    assert [gap.cause for gap in ledger.gaps] == ["lost", "bad_payload"]


def test_gaps_with_sound_between_stay_apart() -> None:
    ledger = GapLedger()
    ledger.add("inbound", 0, 160, "lost")
    ledger.add("inbound", 320, 160, "lost")
    assert ledger.gaps_total == len(ledger.gaps) == 2


def test_gaps_beyond_the_bound_only_count() -> None:
    ledger = GapLedger(max_gaps=3)
    for n in range(10):
        ledger.add("inbound", 1000 * n, 160, "lost")
        ledger.add("inbound", 1000 * n + 160, 160, "lost")
    assert ledger.gaps == [Gap("inbound", 1000 * n, 320, "lost") for n in range(3)]
    assert (ledger.gaps_total, ledger.samples_total) == (10, 3200)
    assert ledger.describe()["gaps_omitted"] == 7


def test_the_description_is_json() -> None:
    ledger = GapLedger()
    ledger.add("outbound", 160, 320, "bad_payload")
    assert json.loads(json.dumps(ledger.describe())) == {
        "gaps": [{"track": "outbound", "position": 160, "length": 320, "cause": "bad_payload"}],
        "gaps_total": 1,
        "gaps_omitted": 0,
        "samples_total": 320,
        "samples_by_cause": {"bad_payload": 320},
    }
