"""The E-model against what ITU-T published, and what another implementation computes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.emodel import CODECS, CodecImpairment, effective_equipment_impairment, mos, rating

PCMU = CODECS["PCMU"]
G729A = CodecImpairment(ie=11, bpl=19)  # with VAD; ITU-T G.113, appendix I


def test_an_undisturbed_connection_has_the_rating_of_the_recommendation() -> None:
    """G.107 (06/2015), section 7.7: 93.2; six digits by another implementation, github.com/manucorporat/e-model."""
    assert rating(codec=PCMU) == pytest.approx(93.2, abs=0.05)
    assert rating(codec=PCMU) == pytest.approx(93.206208, abs=1e-6)
    assert mos(rating(codec=PCMU)) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("r", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_a_rating_stands_for_the_score_of_table_b1(r: float, score: float) -> None:
    """G.107, table B.1; its 4.03 is 4.024, rounded up."""
    assert mos(r) == pytest.approx(score, abs=0.007)


@pytest.mark.parametrize(("r", "score"), [(-5, 1.0), (0, 1.0), (3, 1.0), (100, 4.5), (120, 4.5)])
def test_the_score_has_its_bounds(r: float, score: float) -> None:
    assert mos(r) == score


@pytest.mark.parametrize(
    ("codec", "loss_percent", "burst_ratio", "expected"),
    [
        (PCMU, 0, 1, 0),
        (PCMU, 1, 1, 95 * 1 / 26.1),
        (PCMU, 5, 1, 95 * 5 / 30.1),
        (PCMU, 5, 2, 95 * 5 / 27.6),
        (CodecImpairment(0, 4.3), 1, 1, 95 * 1 / 5.3),
        (G729A, 0, 1, 11),
        (G729A, 2, 1, 11 + 84 * 2 / 21),
    ],
)
def test_loss_and_codec_cost_what_equation_7_29_says(
    codec: CodecImpairment, loss_percent: float, burst_ratio: float, expected: float
) -> None:
    assert effective_equipment_impairment(codec, loss_percent, burst_ratio) == pytest.approx(expected)
    assert rating(codec=codec, loss_percent=loss_percent, burst_ratio=burst_ratio) == pytest.approx(
        93.2062 - expected, abs=1e-4
    )


@pytest.mark.parametrize(
    ("delay_ms", "cost"),
    # 25 {(1 + X^6)^(1/6) - 3 (1 + (X/3)^6)^(1/6) + 2} with X = log2(Ta / 100 ms), by hand.
    [(0, 0), (100, 0), (200, 3.0444), (400, 24.0701)],
)
def test_delay_costs_nothing_up_to_a_tenth_of_a_second(delay_ms: float, cost: float) -> None:
    assert rating(codec=PCMU) - rating(codec=PCMU, delay=delay_ms / 1000) == pytest.approx(cost, abs=0.001)


@settings(deadline=None)
@given(loss=st.floats(0, 100), more=st.floats(0, 50), burst=st.floats(1, 20), delay=st.floats(0, 2))
def test_more_loss_and_more_delay_are_never_better(loss: float, more: float, burst: float, delay: float) -> None:
    better = rating(codec=PCMU, loss_percent=loss, burst_ratio=burst, delay=delay)
    worse = rating(codec=PCMU, loss_percent=min(100.0, loss + more), burst_ratio=burst, delay=delay + more / 100)
    assert 0 <= worse <= better <= 93.21
    assert 1 <= mos(worse) <= mos(better) <= 4.5
