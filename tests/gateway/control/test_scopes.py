import pytest

from gateway.control.scopes import ApiKeys, Scope, parse_keys
from gateway.errors import ConfigError

READ, CONTROL = "r" * 16, "c:" + "c" * 16


def test_keys_are_read_with_their_scopes() -> None:
    assert parse_keys(f"read:{READ}, control:{CONTROL},") == [(Scope.READ, READ), (Scope.CONTROL, CONTROL)]
    assert parse_keys("") == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("aaaaaaaaaaaaaaaaaaaa", "entry 1 begins with no scope"),
        (f"read:{READ},write:aaaaaaaaaaaaaaaaaaaa", "entry 2 begins with no scope"),
        ("admin:short", "entry 1 holds no key"),
        ("admin:a secret with spaces", "entry 1 holds no key"),
        ("admin:" + "ä" * 20, "entry 1 holds no key"),
        (f"read:{READ},admin:{READ}", "entry 2 has the same key"),
    ],
)
def test_what_is_no_list_of_keys_is_refused_without_showing_it(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_keys(text)
    assert "aaaa" not in str(caught.value)
    assert READ not in str(caught.value)


@pytest.mark.parametrize(
    ("authorization", "scope"),
    [
        (f"Bearer {READ}", Scope.READ),
        (f"bearer  {CONTROL} ", Scope.CONTROL),
        (f"Basic {READ}", None),
        (READ, None),
        (f"Bearer {READ}x", None),
        (f"Bearer {READ[:-1]}", None),
        ("Bearer", None),
        ("", None),
        ("Bearer \udcff", None),
    ],
)
def test_a_key_has_its_scope_and_anything_else_has_none(authorization: str, scope: Scope | None) -> None:
    keys = ApiKeys([(Scope.READ, READ), (Scope.CONTROL, CONTROL)])
    assert keys.scope_of(authorization) == scope
    assert READ not in repr(vars(keys))


def test_a_scope_includes_those_before_it() -> None:
    assert Scope.READ < Scope.CONTROL < Scope.ADMIN
    assert [str(scope) for scope in Scope] == ["read", "control", "admin"]
