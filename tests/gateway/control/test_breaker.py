from gateway.control.breaker import CircuitBreaker


def open_breaker(now: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(threshold=3, cool_down=2.0)
    for _ in range(3):
        assert breaker.admit(now=now) == 0.0
        breaker.failed(now=now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = open_breaker()
    assert breaker.admit(now=0.5) == 1.5
    assert breaker.opened == 1


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = CircuitBreaker(threshold=3, cool_down=2.0)
    for _ in range(10):
        breaker.failed(now=0.0)
        breaker.failed(now=0.0)
        breaker.succeeded()
    assert (breaker.admit(now=0.0), breaker.opened) == (0.0, 0)


def test_half_open_it_lets_one_attempt_through() -> None:
    breaker = open_breaker()
    assert breaker.admit(now=2.0) == 0.0
    assert breaker.admit(now=2.0) == 2.0
    breaker.succeeded()
    assert breaker.admit(now=2.0) == 0.0
    assert breaker.admit(now=2.0) == 0.0


def test_an_attempt_that_fails_opens_it_again() -> None:
    breaker = open_breaker()
    assert breaker.admit(now=2.0) == 0.0
    breaker.failed(now=3.0)
    assert breaker.admit(now=3.5) == 1.5
    assert breaker.opened == 1


def test_an_attempt_of_which_nothing_is_heard_blocks_the_others_for_one_cool_down_only() -> None:
    breaker = open_breaker()
    assert breaker.admit(now=2.0) == 0.0
    assert breaker.admit(now=4.0) == 0.0


def test_after_it_has_closed_it_takes_the_same_number_of_failures_to_open() -> None:
    breaker = open_breaker()
    assert breaker.admit(now=2.0) == 0.0
    breaker.succeeded()
    breaker.failed(now=2.0)
    assert breaker.admit(now=2.0) == 0.0
    breaker.failed(now=2.0)
    breaker.failed(now=2.0)
    assert (breaker.admit(now=2.0), breaker.opened) == (2.0, 2)
