"""The API's way of saying no."""

import pytest

from gateway.protocol.commands import Answer, StreamingStart, StreamingStop
from gateway.simulator.refusal import Refusal, parse
from gateway.simulator.rest import PlaceCall


@pytest.mark.parametrize(
    ("model", "body", "code", "pointer"),
    [
        (Answer, b"{", "10023", None),
        (Answer, b"\xff", "10023", None),
        (Answer, b"[]", "10026", None),
        (PlaceCall, b"{}", "10004", "/from"),
        (StreamingStart, b'{"stream_url": 1}', "10026", "/stream_url"),
        (StreamingStart, b'{"stream_bidirectional_sampling_rate": "8000"}', "10032", None),
        (StreamingStart, b'{"stream_codec": "pcmu"}', "10032", None),
        (StreamingStart, b'{"stream_auth_token": "%s"}' % (b"x" * 4001), "10033", "/stream_auth_token"),
        (StreamingStop, b'{"stream_id": "no uuid"}', "10027", "/stream_id"),
        (Answer, b'{"client_state": "no base64"}', "90017", "/client_state"),
        (Answer, b'{"custom_headers": [{"name": "x"}]}', "10004", "/custom_headers/0/value"),
    ],
)
def test_a_bad_body_gets_telnyx_code_for_it(model: type[Answer], body: bytes, code: str, pointer: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        parse(model, body)
    assert (caught.value.status, caught.value.code) == (422, code)
    if pointer is not None:
        assert caught.value.pointer == pointer


def test_an_empty_body_is_an_empty_command() -> None:
    assert parse(Answer, b"") == Answer()


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
