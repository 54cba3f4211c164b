from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_settings
from gateway.control.routes import Subject, first_match, load_routes
from gateway.decision import Decision
from gateway.errors import ConfigError
from gateway.protocol.events import CallInitiated
from gateway.protocol.messages import MediaFormat, Start, StartBody
from tests.gateway.control.conftest import an_event

CALL = Subject(
    to="+15550100002",
    from_="+4930123456",
    connection_id="1494404757140276705",
    direction="incoming",
    headers={"x-tenant": "acme"},
)


def rule_for(subject: Subject, *tables: dict[str, Any]) -> str | None:
    decision = first_match(load_routes(tables), subject)
    return None if decision is None else decision.rule


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"to": "+15550100002"},
        {"to": "+1555*"},
        {"to": "*"},
        {"to": ["+15550100009", "+15550100002"]},
        {"from": "+49*"},
        {"connection_id": "1494404757140276705"},
        {"direction": "incoming"},
        {"headers": {"X-Tenant": "acme"}},
        {"headers": {"x-tenant": "a*"}},
        {"to": "+1555*", "from": "+49*", "direction": "incoming"},
    ],
)
def test_a_rule_matches_where_all_that_it_names_does(wanted: dict[str, Any]) -> None:
    assert rule_for(CALL, wanted) == "rule 1"


@pytest.mark.parametrize(
    "wanted",
    [
        {"to": "+1555010000"},
        {"to": "+44*"},
        {"from": "+15550100002"},
        {"connection_id": "1"},
        {"direction": "outgoing"},
        {"headers": {"X-Tenant": "ACME"}},
        {"headers": {"X-Other": "*"}},
        {"parameters": {"tenant": "*"}},
        {"to": "+1555*", "from": "+44*"},
    ],
)
def test_a_rule_does_not_match_where_one_thing_that_it_names_does_not(wanted: dict[str, Any]) -> None:
    assert rule_for(CALL, wanted) is None


def test_the_first_rule_that_matches_decides() -> None:
    tables = [{"to": "+44*"}, {"name": "germany", "from": "+49*"}, {"to": "*"}]
    assert rule_for(CALL, *tables) == "germany"
    assert rule_for(Subject(to="+1"), *tables) == "rule 3"
    assert rule_for(Subject(), *tables) is None


def test_what_an_event_tells_can_be_matched() -> None:
    event = an_event(
        "call.initiated",
        to="sip:sales@example.test",
        connection_id="7",
        custom_headers=[{"name": "X-Tenant", "value": "acme"}, {"name": "X-Empty"}, {}],
        sip_headers=[{"name": "User-to-User", "value": "abc"}],
        **{"from": "+15550100001"},
    )
    assert isinstance(event, CallInitiated)
    subject = Subject.of_event(event, "incoming")
    assert rule_for(subject, {"to": "sip:sales@*", "headers": {"X-Tenant": "acme", "user-to-user": "abc"}})
    assert "+1555" not in repr(subject)
    assert "acme" not in repr(subject)


def test_what_a_stream_tells_can_be_matched_and_asked_for_by_its_parameters_alone() -> None:
    body = StartBody(
        call_control_id="v3:a", media_format=MediaFormat("PCMU", 8000), to="+1555", custom_parameters={"agent": "echo"}
    )
    subject = Subject.of_stream(Start(sequence_number=1, stream_id="S", start=body), None)
    routes = load_routes(
        [{"name": "by number", "to": "+1*"}, {"name": "by parameter", "parameters": {"agent": "echo"}}]
    )
    first, by_parameters = first_match(routes, subject), first_match(routes, subject, by_parameters=True)
    assert first is not None
    assert by_parameters is not None
    assert (first.rule, by_parameters.rule) == ("by number", "by parameter")


def test_a_rule_says_all_that_a_decision_can(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(
        """
        [[routes]]
        name = "sales"
        to = "+15550100002"
        codec = "L16"
        sample_rate = 16000
        mode = "rtp"
        track = "both_tracks"
        target_legs = "both"
        agent = "echo"
        sinks = ["recorder", "level:?interval=5"]

        [[routes]]
        action = "reject"
        cause = "USER_BUSY"
        """
    )
    sales, others = load_routes(path)
    assert sales.decision(1) == Decision(
        codec="L16",
        sample_rate=16_000,
        mode="rtp",
        track="both_tracks",
        target_legs="both",
        agent="echo",
        sinks=("recorder", "level:?interval=5"),
        rule="sales",
    )
    assert others.decision(2) == Decision(action="reject", cause="USER_BUSY", rule="rule 2")


def test_an_agent_with_options_of_its_own_is_the_rules_own() -> None:
    (route,) = load_routes([{"agent": "pipeline", "agent_options": {"key": "a secret"}}])
    assert route.decision(4).agent == "pipeline of rule 4"
    assert "a secret" not in repr(route)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"too": "+1"}, "rule 2: too: there is no such key"),
        ({"to": ""}, "rule 2: to.0: Value error, want an exact value"),
        ({"to": "+1*5"}, "rule 2: to.0: Value error, want an exact value, a beginning that ends in `*`"),
        ({"to": []}, "rule 2: to: "),
        ({"direction": "inbound"}, "rule 2: direction: "),
        ({"action": "reject", "cause": "BUSY"}, "rule 2: cause: "),
        ({"cause": "USER_BUSY"}, "rule 2: cause goes with action = 'reject' only"),
        ({"action": "ignore", "agent": "echo"}, "rule 2: agent goes with action = 'answer' only"),
        ({"media": "fork", "codec": "L16"}, "rule 2: codec goes with media = 'stream' only"),
        ({"media": "fork", "agent": "echo"}, "rule 2: a fork can only be listened to"),
        ({"agent_options": {}}, "rule 2: agent_options need an agent"),
        ({"action": "reject", "parameters": {"a": "b"}}, "rule 2: parameters are known when the stream begins"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_by_its_number(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_routes([{"to": "*"}, table])
    assert complaint in str(raised.value)
    assert str(raised.value).startswith("GATEWAY_ROUTES: ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[[routes]", "cannot read"),
        ("[[route]]\nto = '*'", "has 'route', want nothing but"),
        ("routes = 5", "want tables"),
        ("routes = [5]", "want tables"),
    ],
)
def test_a_file_that_holds_no_rules_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=complaint):
        load_routes(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_routes(tmp_path / "none.toml")


def test_rules_stand_in_the_settings_file_or_in_one_that_the_environment_names(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('drain_timeout = 5\n[[routes]]\nto = "+1*"\n[[routes]]\naction = "ignore"\n')
    assert [route.action for route in load_routes(load_settings({}, config=config).routes)] == ["answer", "ignore"]
    other = tmp_path / "other.toml"
    other.write_text('[[routes]]\naction = "reject"\n')
    settings = load_settings({"GATEWAY_ROUTES": str(other)}, config=config)
    assert [route.action for route in load_routes(settings.routes)] == ["reject"]
