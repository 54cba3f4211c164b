import numpy as np
import pytest

from gateway.bench.histogram import Histogram


def test_percentiles_are_never_too_small_and_less_than_a_percent_too_great() -> None:
    times = np.random.default_rng(1).lognormal(-6, 1, 20_000).tolist()
    histogram = Histogram()
    histogram.add(times)
    assert len(histogram) == 20_000
    assert histogram.longest == max(times)
    for percent in (1, 50, 90, 99, 99.9, 100):
        exact = float(np.percentile(times, percent, method="inverted_cdf"))
        told = histogram.percentile(percent)
        assert told is not None
        assert exact <= told <= exact * 1.0101


def test_two_together_are_as_one() -> None:
    both, first, second = Histogram(), Histogram(), Histogram()
    for times, one in (([0.001, 0.002], first), ([0.5], second)):
        both.add(times)
        one.add(times)
    first.merge(second)
    assert [first.percentile(p) for p in (10, 50, 100)] == [both.percentile(p) for p in (10, 50, 100)]
    assert first.longest == 0.5


@pytest.mark.parametrize("seconds", [0.0, -1e-3, 1e9])
def test_what_lies_outside_counts_in_the_outermost(seconds: float) -> None:
    histogram = Histogram()
    histogram.add([seconds])
    assert len(histogram) == 1


def test_of_nothing_there_is_no_percentile() -> None:
    histogram = Histogram()
    histogram.add([])
    assert histogram.percentile(50) is None
