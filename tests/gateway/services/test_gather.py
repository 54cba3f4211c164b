"""Keys and times in, prompts and a result out."""

import pytest

from gateway.errors import MediaServiceError
from gateway.services.gather import Gathered, Gathering, GatherOptions, Say, gather_options


def collecting(**options: object) -> Gathering:
    return Gathering(GatherOptions(**options), prompt=False, now=0.0)  # type: ignore[arg-type]


def press(gathering: Gathering, keys: str, *, now: float = 1.0, apart: float = 1.0) -> float:
    """Press keys a second apart; returns when the next one would be."""
    for key in keys:
        gathering.key(key, now=now)
        now += apart
    return now


@pytest.mark.parametrize(
    ("options", "keys", "ended_after", "result"),
    [
        # at once
        ({}, "123#", None, Gathered("123", "valid")),
        ({"max_digits": 4}, "1234", None, Gathered("1234", "valid")),
        ({"terminating_digit": "*", "valid_digits": "0123456789"}, "12*", None, Gathered("12", "valid")),
        ({"min_digits": 4}, "12#", None, Gathered("12", "invalid")),
        ({"valid_digits": "123"}, "129#", None, Gathered("129", "invalid")),
        ({}, "1A#", None, Gathered("1A", "invalid")),
        ({}, "#", None, Gathered("", "invalid")),
        # by the inter-digit timeout, which is five seconds from the last key
        ({}, "12", 5.0, Gathered("12", "valid")),
        ({"inter_digit_timeout": 2.5}, "12", 2.5, Gathered("12", "valid")),
        ({"min_digits": 3}, "12", 5.0, Gathered("12", "timeout")),
        ({"valid_digits": "2"}, "12", 5.0, Gathered("12", "invalid")),
        ({"terminating_digit": ""}, "1#", 5.0, Gathered("1#", "valid")),
    ],
)
def test_each_ending(options: dict[str, object], keys: str, ended_after: float | None, result: Gathered) -> None:
    gathering = collecting(**options)
    last = press(gathering, keys) - 1.0
    if ended_after is not None:
        assert gathering.result is None
        assert gathering.deadline() == pytest.approx(last + ended_after)
        gathering.pass_time(now=last + ended_after - 0.01)
        assert gathering.result is None
        gathering.pass_time(now=last + ended_after)
    assert gathering.result == result
    assert gathering.deadline() is None


def test_no_first_key_within_the_initial_timeout_is_a_timeout() -> None:
    gathering = collecting(initial_timeout=7.0)
    assert gathering.deadline() == 7.0
    gathering.pass_time(now=7.0)
    assert gathering.result == Gathered("", "timeout")


@pytest.mark.parametrize(("min_digits", "status"), [(1, "valid"), (9, "timeout")])
def test_the_overall_timeout_counts_from_the_beginning(min_digits: int, status: str) -> None:
    gathering = collecting(timeout=10.0, min_digits=min_digits)
    press(gathering, "1234", apart=2.5)  # at 1, 3.5, 6 and 8.5
    assert gathering.deadline() == 10.0
    gathering.pass_time(now=10.0)
    assert gathering.result is not None
    assert (gathering.result.digits, gathering.result.status) == ("1234", status)


def test_without_any_timeout_it_waits_for_ever() -> None:
    assert collecting(timeout=0, initial_timeout=None).deadline() is None


def test_the_first_key_cuts_the_prompt_and_counts() -> None:
    gathering = Gathering(GatherOptions(max_digits=2), prompt=True, now=0.0)
    assert (gathering.say, gathering.deadline()) == (Say.PROMPT, None)
    gathering.key("4", now=3.0)
    assert gathering.deadline() == 8.0
    gathering.key("2", now=4.0)
    assert gathering.result == Gathered("42", "valid")


def test_the_timeouts_begin_where_the_prompt_has_ended() -> None:
    gathering = Gathering(GatherOptions(initial_timeout=5.0), prompt=True, now=0.0)
    gathering.pass_time(now=50.0)
    assert gathering.say is Say.PROMPT
    gathering.said(now=60.0)
    assert gathering.deadline() == 65.0


def test_a_further_try_begins_with_the_invalid_prompt_and_then_the_prompt() -> None:
    options = GatherOptions(maximum_tries=2, min_digits=4)
    gathering = Gathering(options, prompt=True, invalid_prompt=True, now=0.0)
    gathering.said(now=1.0)
    press(gathering, "12#", now=2.0)
    assert (gathering.say, gathering.tries, gathering.digits, gathering.result) == (Say.INVALID_PROMPT, 2, "", None)
    gathering.said(now=5.0)
    assert gathering.say is Say.PROMPT
    gathering.said(now=8.0)
    press(gathering, "1234#", now=9.0)
    assert gathering.result == Gathered("1234", "valid")


def test_the_last_try_tells_its_own_result() -> None:
    gathering = Gathering(GatherOptions(maximum_tries=3), prompt=True, now=0.0)
    for _ in range(2):
        gathering.said(now=1.0)
        press(gathering, "A#", now=1.0)
    gathering.said(now=1.0)
    gathering.pass_time(now=100.0)
    assert (gathering.result, gathering.tries) == (Gathered("", "timeout"), 3)


def test_a_key_during_the_invalid_prompt_skips_the_prompt_too() -> None:
    gathering = Gathering(GatherOptions(maximum_tries=2), prompt=True, invalid_prompt=True, now=0.0)
    gathering.key("#", now=1.0)
    assert gathering.say is Say.INVALID_PROMPT
    gathering.key("7", now=2.0)
    gathering.key("#", now=3.0)
    assert gathering.result == Gathered("7", "valid")


@pytest.mark.parametrize("status", ["cancelled", "call_hangup"])
def test_it_ends_as_it_stands(status: str) -> None:
    gathering = collecting()
    press(gathering, "12")
    gathering.end(status)  # type: ignore[arg-type]
    gathering.key("#", now=9.0)
    gathering.end("call_hangup")
    assert gathering.result == Gathered("12", status)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_digits", 0),
        ("min_digits", 129),
        ("max_digits", 0),
        ("max_digits", 129),
        ("terminating_digit", "12"),
        ("terminating_digit", "A"),
        ("valid_digits", "12A"),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("initial_timeout", 0),
        ("initial_timeout", 121),
        ("inter_digit_timeout", 0),
        ("maximum_tries", 0),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(MediaServiceError, match=name) as refused:
        GatherOptions(**{name: value})  # type: ignore[arg-type]
    assert refused.value.status == 422


def test_fewer_digits_at_most_than_at_least_are_refused() -> None:
    with pytest.raises(MediaServiceError, match="max_digits is 3"):
        GatherOptions(min_digits=4, max_digits=3)


def test_the_defaults_are_telnyxs_with_a_prompt_and_without() -> None:
    without, with_prompt = gather_options(prompted=False), gather_options(prompted=True)
    assert (without.initial_timeout, without.maximum_tries) == (5.0, 1)
    assert (with_prompt.initial_timeout, with_prompt.maximum_tries) == (None, 3)
    assert gather_options(prompted=True, initial_timeout=2.0, maximum_tries=1).initial_timeout == 2.0
