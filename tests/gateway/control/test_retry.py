import pytest
from multidict import CIMultiDict

from gateway.control.retry import RetryPolicy, is_transient, retry_after

NOW = 1_763_632_800.0  # 2025-11-20 10:00:00 UTC


def test_pauses_double_up_to_the_longest_and_chance_moves_them_by_a_half() -> None:
    policy = RetryPolicy(first_pause=0.2, longest_pause=1.0)
    for chance, factor in ((0.0, 0.5), (0.5, 1.0), (1.0, 1.5)):
        pauses = [policy.pause(attempt, chance=chance) for attempt in range(1, 6)]
        assert pauses == pytest.approx([factor * pause for pause in (0.2, 0.4, 0.8, 1.0, 1.0)])


def test_what_the_answer_asks_for_is_the_least_and_chance_only_adds_to_it() -> None:
    policy = RetryPolicy(first_pause=0.2)
    assert policy.pause(1, chance=0.0, at_least=3.0) == pytest.approx(3.0)
    assert policy.pause(1, chance=1.0, at_least=3.0) == pytest.approx(3.3)
    assert policy.pause(1, chance=0.5, at_least=0.1) == pytest.approx(0.2)


def test_the_patience_with_an_answer_doubles_too() -> None:
    policy = RetryPolicy(first_timeout=0.5, timeout=10.0)
    assert [policy.patience(attempt) for attempt in (1, 2, 3, 4, 50)] == [0.5, 1.0, 2.0, 4.0, 10.0]


def test_a_command_ends_before_telnyx_forgets_its_id() -> None:
    assert RetryPolicy().timeout < 60


@pytest.mark.parametrize(
    ("status", "transient"),
    [(0, True), (408, True), (429, True), (500, True), (503, True), (200, False), (400, False), (404, False)],
)
def test_what_may_pass_is_tried_again(status: int, *, transient: bool) -> None:
    assert is_transient(status) is transient


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Thu, 20 Nov 2025 10:00:30 GMT"}, 30.0),
        ({"Retry-After": "Thu, 20 Nov 2025 11:00:30 +0100"}, 30.0),
        ({"Retry-After": "Thu, 20 Nov 2025 10:00:30 -0000"}, 30.0),
        ({"Retry-After": "Thu, 20 Nov 2025 09:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-1"}, 0.0),
        ({"Retry-After": "1.5"}, 0.0),
        ({"Retry-After": "\u0661"}, 0.0),
        ({"Retry-After": "9" * 5000}, 0.0),
        ({"Retry-After": "Thu, 20 Nov 99999 10:00:30 GMT"}, 0.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4"}, 4.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": ""}, 0.0),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "4"}, 0.0),
        ({"x-ratelimit-reset": "4"}, 0.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4", "Retry-After": "2"}, 2.0),
    ],
)
def test_what_an_answer_says_about_the_next_attempt(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(CIMultiDict(headers), now=NOW) == pytest.approx(seconds)
