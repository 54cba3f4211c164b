from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.config import Address, PortRange, Settings, load_settings, parse_address, parse_port_range
from gateway.errors import ConfigError


def test_with_nothing_set_the_documented_defaults_hold() -> None:
    settings = load_settings({})
    assert settings.media_listen == ("127.0.0.1", 8765)
    assert settings.http_listen == ("127.0.0.1", 8080)
    assert (settings.media_auth, settings.transport, settings.l16_byte_order) == ("token", "websockets", "little")
    assert (settings.sinks, settings.agent, settings.data_dir) == (("recorder",), None, Path("data"))
    assert (settings.drain_timeout, settings.max_call_seconds) == (3600, 14_400)
    assert (settings.max_message_bytes, settings.playout_lead_ms) == (1_048_576, 160)
    assert settings.telnyx_base_url == "https://api.telnyx.com/v2"
    assert (settings.api_key, settings.telnyx_api_key, settings.telnyx_public_key) == (None, None, None)


def test_the_environment_is_read_by_prefix_and_telnyx_by_its_own_names() -> None:
    settings = load_settings(
        {
            "GATEWAY_MAX_CALLS": "7",
            "GATEWAY_DRAIN_TIMEOUT": "2.5",
            "GATEWAY_DATA_DIR": "/srv/calls",
            "TELNYX_API_KEY": "KEY1",
            "TELNYX_PUBLIC_KEY": "abc=, def=",
            "TELNYX_BASE_URL": "http://127.0.0.1:12111/v2",
            "TELNYX_SOMETHING_ELSE": "left alone",
            "PATH": "/bin",
        }
    )
    assert (settings.max_calls, settings.drain_timeout, settings.data_dir) == (7, 2.5, Path("/srv/calls"))
    assert settings.telnyx_api_key is not None
    assert settings.telnyx_api_key.get_secret_value() == "KEY1"
    assert (settings.telnyx_public_key, settings.telnyx_base_url) == (("abc=", "def="), "http://127.0.0.1:12111/v2")


def test_the_process_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MAX_CALLS", "9")
    assert load_settings().max_calls == 9


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80), "10.0.0.1:80"),
        ("localhost:0", ("localhost", 0), "localhost:0"),
        ("[::1]:8765", ("::1", 8765), "[::1]:8765"),
        (":65535", ("0.0.0.0", 65_535), "0.0.0.0:65535"),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int], shown: str) -> None:
    listen = load_settings({"GATEWAY_MEDIA_LISTEN": text}).media_listen
    assert listen == Address(*address)
    assert str(listen) == shown


@pytest.mark.parametrize(
    "text", ["8080", "host", "host:", "host:65536", "host:-1", "host:\u0661", "host:8_0", "h:" + "9" * 5000]
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_HTTP_LISTEN: .*is not host:port"):
        load_settings({"GATEWAY_HTTP_LISTEN": text})


def test_an_address_is_read_by_itself_too() -> None:
    assert parse_address("127.0.0.1:12111") == Address("127.0.0.1", 12_111)
    with pytest.raises(ConfigError, match="'12111' is not host:port"):
        parse_address("12111")


@pytest.mark.parametrize(
    ("text", "sinks"), [("recorder", ("recorder",)), (" a , b,,", ("a", "b")), ("", ()), (",", ())]
)
def test_a_list_is_comma_separated_and_may_be_empty(text: str, sinks: tuple[str, ...]) -> None:
    assert load_settings({"GATEWAY_SINKS": text}).sinks == sinks


def test_an_empty_value_is_as_good_as_none() -> None:
    settings = load_settings({"GATEWAY_AGENT": "", "GATEWAY_MAX_CALLS": "", "TELNYX_API_KEY": ""})
    assert settings == load_settings({})


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^GATEWAY_MAX_CALL: there is no such setting$"):
        load_settings({"GATEWAY_MAX_CALL": "7"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_MAX_CALLS", "0"),
        ("GATEWAY_MAX_CALLS", "many"),
        ("GATEWAY_MAX_MESSAGE_BYTES", "1023"),
        ("GATEWAY_MEDIA_AUTH", "None"),
        ("GATEWAY_L16_BYTE_ORDER", "middle"),
        ("GATEWAY_PUBLIC_MEDIA_URL", "https://example.test"),
        ("GATEWAY_DRAIN_TIMEOUT", "-1"),
        ("TELNYX_BASE_URL", "api.telnyx.com"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: "):
        load_settings({name: value})


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"GATEWAY_MAX_CALLS": "0", "GATEWAY_NOTHING": "1", "TELNYX_BASE_URL": "x"})
    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == {
        "GATEWAY_MAX_CALLS",
        "GATEWAY_NOTHING",
        "TELNYX_BASE_URL",
    }


def test_neither_text_nor_error_shows_a_key() -> None:
    environment = {"GATEWAY_API_KEY": "s3cret", "TELNYX_API_KEY": "s3cret"}
    assert "s3cret" not in repr(load_settings(environment))
    with pytest.raises(ConfigError) as caught:
        load_settings({**environment, "GATEWAY_MAX_CALLS": "0"})
    assert "s3cret" not in str(caught.value)


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('max_calls = 7\nsinks = ["a", "b"]\nmedia_listen = ":9000"\ntelnyx_api_key = "KEY1"\n', "utf-8")
    settings = load_settings({"GATEWAY_MAX_CALLS": "8"}, config=config)
    assert (settings.max_calls, settings.sinks, settings.media_listen) == (8, ("a", "b"), ("0.0.0.0", 9000))
    assert settings.telnyx_api_key is not None


def test_an_unknown_key_in_a_file_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[media]\nlisten = 1\n", "utf-8")
    with pytest.raises(ConfigError, match="GATEWAY_MEDIA: there is no such setting"):
        load_settings({}, config=config)


@pytest.mark.parametrize("content", [None, b"max_calls = ", b"\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    config = tmp_path / "gateway.toml"
    if content is not None:
        config.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read .*gateway\.toml"):
        load_settings({}, config=config)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().max_calls = 7  # type: ignore[misc]  # the assignment is what is tested


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("127.0.0.1:20000-20999", PortRange("127.0.0.1", 20_000, 20_999)),
        (":1024-1027", PortRange("0.0.0.0", 1024, 1027)),
        ("[::1]:20000-20003", PortRange("::1", 20_000, 20_003)),
    ],
)
def test_the_ports_of_forks_are_a_range(text: str, ports: PortRange) -> None:
    assert load_settings({"GATEWAY_FORK_LISTEN": text}).fork_listen == ports
    assert parse_port_range(str(ports)) == ports


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1", "127.0.0.1:20000", "127.0.0.1:20000-", "127.0.0.1:-4", ":0-10", ":10-12", ":9-1", ":1-65536"],
)
def test_any_other_range_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="host:"):
        parse_port_range(text)
