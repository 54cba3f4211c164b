"""Our signatures and Telnyx's own Python package: what one signs the other accepts, what it refuses we refuse."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from nacl.signing import SigningKey
from telnyx import Telnyx

from gateway.errors import SignatureError
from gateway.protocol.events import EVENTS, parse_event
from gateway.protocol.signature import load_public_key, sign, verify
from tests.gateway.protocol.fields import samples

KEY = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(32))
PUBLIC_KEY = base64.b64encode(bytes(KEY.verify_key)).decode()
SAMPLES = samples("events")
BODY = json.dumps(SAMPLES["call.answered"]).encode()

Headers = dict[str, str]


@pytest.fixture(scope="module")
def telnyx() -> Telnyx:
    return Telnyx(api_key="KEY", public_key=PUBLIC_KEY)


def theirs(telnyx: Telnyx, body: bytes, headers: Headers) -> Any:
    """What the package reads in a webhook; it reads the clock itself. ValueError: it refuses."""
    return telnyx.webhooks.unwrap(body.decode(), headers=headers)


def ours(body: bytes, headers: Headers, *, now: float) -> None:
    verify(body, headers, keys=[load_public_key(PUBLIC_KEY)], now=now)


@pytest.mark.parametrize("event_type", EVENTS)
def test_the_package_accepts_what_we_sign_and_reads_what_we_read(event_type: str, telnyx: Telnyx) -> None:
    body = json.dumps(SAMPLES[event_type], ensure_ascii=False).encode()
    event = theirs(telnyx, body, sign(body, key=KEY, now=time.time()))
    assert event.data.event_type == event_type == parse_event(body).event_type
    assert event.data.id == parse_event(body).id


@pytest.mark.parametrize("away", [-299, 0, 299])
def test_both_accept_the_same_times(away: int, telnyx: Telnyx) -> None:
    now = time.time()
    headers = sign(BODY, key=KEY, now=now + away)
    theirs(telnyx, BODY, headers)
    ours(BODY, headers, now=now)


def without(name: str) -> Callable[[bytes, Headers], tuple[bytes, Headers]]:
    return lambda body, headers: (body, {key: value for key, value in headers.items() if key != name})


def with_header(name: str, value: str) -> Callable[[bytes, Headers], tuple[bytes, Headers]]:
    return lambda body, headers: (body, {**headers, name: value})


SIGNATURE, TIMESTAMP = "telnyx-signature-ed25519", "telnyx-timestamp"


@pytest.mark.parametrize(
    ("spoil", "key", "away"),
    [
        pytest.param(lambda body, headers: (body + b" ", headers), KEY, 0, id="a space more"),
        pytest.param(lambda body, headers: (body.replace(b"answered", b"rejected"), headers), KEY, 0, id="tampered"),
        pytest.param(
            lambda body, headers: (json.dumps(json.loads(body), separators=(",", ":")).encode(), headers),
            KEY,
            0,
            id="parsed and written again",
        ),
        pytest.param(lambda body, headers: (body, headers), OTHER, 0, id="another key"),
        pytest.param(lambda body, headers: (body, headers), KEY, -301, id="301 s old"),
        pytest.param(lambda body, headers: (body, headers), KEY, 302, id="301 s ahead"),
        pytest.param(without(SIGNATURE), KEY, 0, id="no signature"),
        pytest.param(without(TIMESTAMP), KEY, 0, id="no timestamp"),
        pytest.param(with_header(TIMESTAMP, "now"), KEY, 0, id="a timestamp in words"),
        pytest.param(with_header(TIMESTAMP, str(int(time.time()) + 1)), KEY, -10, id="another timestamp"),
        pytest.param(with_header(SIGNATURE, "?" * 88), KEY, 0, id="no base64"),
        pytest.param(with_header(SIGNATURE, base64.b64encode(bytes(63)).decode()), KEY, 0, id="63 octets"),
        pytest.param(with_header(SIGNATURE, base64.b64encode(bytes(64)).decode()), KEY, 0, id="all zeros"),
    ],
)
def test_what_the_package_refuses_we_refuse(
    spoil: Callable[[bytes, Headers], tuple[bytes, Headers]], key: SigningKey, away: int, telnyx: Telnyx
) -> None:
    now = time.time()
    body, headers = spoil(BODY, sign(BODY, key=key, now=now + away))
    with pytest.raises(ValueError, match=r"\w"):
        theirs(telnyx, body, headers)
    with pytest.raises(SignatureError):
        ours(body, headers, now=now)


def test_header_names_in_any_case_are_accepted_by_both(telnyx: Telnyx) -> None:
    now = time.time()
    headers = {name.title(): value for name, value in sign(BODY, key=KEY, now=now).items()}
    theirs(telnyx, BODY, headers)
    ours(BODY, headers, now=now)
