"""The API's way of saying no."""

import pytest

from gateway.protocol.commands import Answer
from gateway.simulator.refusal import Refusal, parse, read_command
from gateway.simulator.sim_api import PlaceCall


@pytest.mark.parametrize(
    ("action", "body", "code", "pointer"),
    [
        ("answer", b"{", "10023", None),
        ("answer", b"\xff", "10023", None),
        ("answer", b"[]", "10026", None),
        ("streaming_start", b'{"stream_url": 1}', "10026", "/stream_url"),
        ("streaming_start", b'{"stream_bidirectional_sampling_rate": "8000"}', "10032", None),
        ("streaming_start", b'{"stream_codec": "pcmu"}', "10032", "/stream_codec"),
        ("streaming_start", b'{"stream_auth_token": "%s"}' % (b"x" * 4001), "10033", "/stream_auth_token"),
        ("streaming_stop", b'{"stream_id": "no uuid"}', "10027", "/stream_id"),
        ("answer", b'{"client_state": "no base64"}', "90017", "/client_state"),
        ("answer", b'{"custom_headers": [{"name": "x"}]}', "10004", "/custom_headers/0/value"),
        ("dial", b'{"from": "+1", "to": "+2"}', "10004", "/connection_id"),
        ("dial", b'{"connection_id": "1", "from": "+1", "to": "+2", "timeout_secs": 4}', "90028", "/timeout_secs"),
        ("reject", b'{"cause": "BORED"}', "10032", "/cause"),
        ("transfer", b"{}", "10004", "/to"),
    ],
)
def test_a_bad_command_gets_telnyx_code_for_it(action: str, body: bytes, code: str, pointer: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        read_command(action, body)
    refusal = caught.value
    assert (refusal.status, refusal.code) == (422, code)
    if pointer is not None:
        assert refusal.body()["errors"][0]["source"] == {"pointer": pointer}


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(Refusal) as caught:
        read_command("dial", b"{}")
    assert [error["source"]["pointer"] for error in caught.value.errors] == ["/connection_id", "/from", "/to"]


def test_there_is_no_such_command() -> None:
    with pytest.raises(Refusal) as caught:
        read_command("dance", b"{}")
    assert (caught.value.status, caught.value.code) == (404, "10005")


def test_an_empty_body_is_an_empty_command_and_unknown_fields_do_not_matter() -> None:
    assert read_command("answer", b"") == Answer()
    assert isinstance(read_command("answer", b'{"stream_sampling_rate": 16000}'), Answer)


def test_a_body_of_our_own_is_strict() -> None:
    with pytest.raises(Refusal) as caught:
        parse(PlaceCall, b'{"to": "x", "from": 1, "audoi": ""}')
    assert [(error["code"], error["source"]["pointer"]) for error in caught.value.errors] == [
        ("10026", "/from"),
        ("10027", "/audoi"),
    ]


def test_the_body_of_a_refusal_has_telnyx_shape() -> None:
    assert Refusal(422, "90018", "Too late.", pointer="/x").body() == {
        "errors": [
            {
                "code": "90018",
                "title": "Call has already ended",
                "detail": "Too late.",
                "source": {"pointer": "/x"},
                "meta": {"url": "https://developers.telnyx.com/docs/overview/errors/90018"},
            }
        ]
    }
