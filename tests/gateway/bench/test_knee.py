import pytest

from gateway.bench.knee import KneeSearch


def search(
    true_knee: int, *, first: int = 100, last: int = 800, step: int = 100, precision: int = 25
) -> tuple[list[int], int | None]:
    knee = KneeSearch(first, last, step, precision=precision)
    tried: list[int] = []
    while (calls := knee.next()) is not None:
        assert len(tried) < 50
        tried.append(calls)
        knee.judge(calls, held=calls <= true_knee)
    return tried, knee.held


@pytest.mark.parametrize(
    ("true_knee", "tried", "held"),
    [
        (330, [100, 200, 300, 400, 350, 325], 325),
        (5000, [100, 200, 300, 400, 500, 600, 700, 800], 800),
        (50, [100], None),
        (100, [100, 200, 150, 125], 100),
    ],
)
def test_the_knee_is_found(true_knee: int, tried: list[int], held: int | None) -> None:
    assert search(true_knee) == (tried, held)


def test_the_last_step_ends_where_it_is_told_to() -> None:
    assert search(5000, last=250) == ([100, 200, 250], 250)


def test_one_level_alone_is_tried_once() -> None:
    assert search(5000, last=100) == ([100], 100)
