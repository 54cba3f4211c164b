from gateway.protocol.budget import ErrorBudget


def test_the_tenth_error_within_ten_seconds_is_too_many() -> None:
    budget = ErrorBudget(limit=10, within=10.0)
    assert [budget.spend(now=float(second)) for second in range(9)] == [False] * 9
    assert budget.spend(now=10.0)


def test_errors_all_at_once_count_the_same() -> None:
    budget = ErrorBudget(limit=3, within=10.0)
    assert [budget.spend(now=5.0) for _ in range(4)] == [False, False, True, True]


def test_errors_further_apart_are_borne_for_ever() -> None:
    budget = ErrorBudget(limit=10, within=10.0)
    assert not any(budget.spend(now=1.2 * n) for n in range(1000))


def test_old_errors_are_forgotten_and_a_burst_after_them_is_not() -> None:
    budget = ErrorBudget(limit=3, within=10.0)
    assert not any(budget.spend(now=now) for now in (0.0, 9.0, 100.0, 101.0))
    assert budget.spend(now=102.0)


def test_a_limit_of_one_bears_nothing() -> None:
    assert ErrorBudget(limit=1, within=10.0).spend(now=0.0)
