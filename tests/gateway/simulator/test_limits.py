"""So many requests in so many seconds."""

import pytest

from gateway.simulator.limits import RateLimit, RateLimiter


def test_as_many_as_the_window_holds_and_then_no_more_until_the_first_is_old() -> None:
    limiter = RateLimiter(RateLimit(2, 5.0))
    assert [limiter.take(now=now) for now in (0.0, 1.0, 2.0, 4.9, 5.0, 5.5, 6.0)] == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("now", "remaining", "reset"), [(10.0, "0", "5"), (12.1, "0", "3"), (15.0, "1", "1"), (20.0, "2", "0")]
)
def test_the_headers_tell_what_is_left(now: float, remaining: str, reset: str) -> None:
    limiter = RateLimiter(RateLimit(2, 5.0))
    limiter.take(now=10.0)
    limiter.take(now=11.0)
    assert limiter.headers(now=now) == {
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": remaining,
        "x-ratelimit-reset": reset,
    }


def test_a_limit_of_none_takes_nothing() -> None:
    assert not RateLimiter(RateLimit(0, 1.0)).take(now=0.0)
