from gateway.control.repeated import RepeatedRequests
from tests.fakes import FakeClock

PATH, BODY = "/v2/calls/v3:a/actions/speak", b'{"payload": "hello"}'


def test_a_repetition_has_the_id_of_the_first_attempt() -> None:
    repeated = RepeatedRequests(FakeClock())
    first = repeated.command_id("0", PATH, BODY)
    assert first is not None
    assert repeated.command_id("1", PATH, BODY) == first
    assert repeated.command_id("2", PATH, BODY) == first


def test_the_same_command_given_twice_has_two_ids_and_each_its_repetitions() -> None:
    repeated = RepeatedRequests(FakeClock())
    first, second = (repeated.command_id("0", PATH, BODY) for _ in range(2))
    assert first != second
    assert repeated.command_id("1", PATH, BODY) == second


def test_another_body_or_another_path_has_another_id() -> None:
    repeated = RepeatedRequests(FakeClock())
    ids = {repeated.command_id("0", path, body) for path in (PATH, PATH + "x") for body in (BODY, BODY + b" ")}
    assert len(ids) == 4


def test_who_says_nothing_of_attempts_gets_no_id() -> None:
    assert RepeatedRequests(FakeClock()).command_id(None, PATH, BODY) is None


def test_a_repetition_whose_first_attempt_came_to_another_process_has_its_id_all_the_same() -> None:
    first = RepeatedRequests(FakeClock()).command_id("0", PATH, BODY)
    assert RepeatedRequests(FakeClock()).command_id("1", PATH, BODY) == first


def test_bodies_are_forgotten_after_a_minute_and_beyond_a_number() -> None:
    clock = FakeClock()
    repeated = RepeatedRequests(clock, max_bodies=10)
    first = repeated.command_id("0", PATH, BODY)
    clock.now += 61
    assert repeated.command_id("0", PATH, BODY) == first
    for number in range(50):
        repeated.command_id("0", PATH, b"%d" % number)
    assert len(repeated._seen) == 10
