"""Where webhooks go."""

import pytest

from gateway.protocol.commands import Answer, RetriesPolicy
from gateway.simulator.refusal import Refusal
from gateway.simulator.routing import Route, Target

ROUTE = Route(url="http://app/", failover_url="http://app/failover", retry_delays=(1.0, 2.0, 4.0))


def test_the_failover_url_stands_in_after_two_failures() -> None:
    (target,) = ROUTE.targets("call.hangup")
    assert [target.url_of(attempt) for attempt in (1, 2, 3, 4)] == [
        "http://app/",
        "http://app/",
        "http://app/failover",
        "http://app/failover",
    ]
    assert Target("http://a/", "POST", None, ()).url_of(3) == "http://a/"


def test_without_a_url_nobody_is_told() -> None:
    assert Route().targets("call.hangup") == []


def test_a_command_sends_everything_elsewhere_and_some_events_to_several() -> None:
    command = Answer(
        webhook_url="http://call/",
        webhook_url_method="GET",
        webhook_urls={"call.hangup": ["http://a/", "http://b/"], "call.cost": "http://c/"},
        webhook_retries_policies={"call.hangup": RetriesPolicy(retries_ms=[250, 1500])},
    )
    route = ROUTE.by_command(command)
    assert route.targets("call.bridged") == [Target("http://call/", "GET", None, (1.0, 2.0, 4.0))]
    assert route.targets("call.hangup") == [
        Target("http://a/", "POST", None, (0.25, 1.5)),
        Target("http://b/", "POST", None, (0.25, 1.5)),
    ]
    assert route.targets("call.cost") == [Target("http://c/", "POST", None, (1.0, 2.0, 4.0))]
    later = route.by_command(Answer(webhook_urls={"call.cost": "http://d/"}, webhook_urls_method="GET"))
    assert [target.url for target in later.targets("call.hangup")] == ["http://a/", "http://b/"]
    assert later.targets("call.cost") == [Target("http://d/", "GET", None, (1.0, 2.0, 4.0))]


def test_a_command_without_wishes_changes_nothing() -> None:
    assert ROUTE.by_command(Answer()) == ROUTE


@pytest.mark.parametrize("field", ["webhook_urls", "webhook_retries_policies"])
def test_an_event_that_there_is_none_of_is_refused(field: str) -> None:
    value = "http://a/" if field == "webhook_urls" else RetriesPolicy(retries_ms=[])
    with pytest.raises(Refusal) as caught:
        ROUTE.by_command(Answer.model_validate({field: {"call.dance": value}}))
    assert (caught.value.code, caught.value.errors[0]["source"]) == ("90057", {"pointer": f"/{field}"})
