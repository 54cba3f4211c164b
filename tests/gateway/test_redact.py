import base64

import pytest

from gateway.redact import redact

TOKEN = base64.urlsafe_b64encode(bytes(range(200, 248))).decode()
CALL_ID = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqgAAAAAAAAAA"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"GET /media/{TOKEN} HTTP/1.1", "GET /media/[token] HTTP/1.1"),
        (f'"token": "{TOKEN}"', '"token": "[token]"'),
        ("to +15550100002 and +442079460000.", "to [number] and [number]."),
        ("/numbers/%2B15550100002?x=1", "/numbers/[number]?x=1"),
        ("KeyError: '+15550100002'", "KeyError: '[number]'"),
        (
            "sip:+15550100002@example.test sips:alice@example.test",
            "sip:[number]@example.test sips:[number]@example.test",
        ),
        ("tel:5550100002;x", "tel:[number];x"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [key]"),
        ("KEY0123456789ABCDEF_abcdef", "[key]"),
        ("wss://host/x?api_key=abcdef&model=m", "wss://host/x?api_key=[key]&model=m"),
        ("https://user:secret@host/", "https://[key]@host/"),
        ("the word hunter2hunter2 itself", "the word [key] itself"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert redact(text, ["hunter2hunter2"]) == left


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:00:00.000000+00:00",
        "2026-11-20T10:00:00.123456Z",
        f"call_control_id={CALL_ID[:67]}",
        "sha256=" + "0123456789abcdef" * 4,
        "took 1500000 us, 15550100002 octets",
        'WWW-Authenticate: Bearer realm="gateway"',
        "ready media=ws://127.0.0.1:8765/media http=http://127.0.0.1:8080",
        "monkey=3 and /x?keys=4",
        "",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert redact(text, ["short"]) == text
