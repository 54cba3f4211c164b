import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from gateway.errors import ConfigError, SignatureError
from gateway.protocol.signature import load_public_key, sign, verify

KEY = SigningKey(bytes(range(32)))
KEYS = [KEY.verify_key]
BODY = '{"data":{"id":"1","text":"gr\u00fcn"}}'.encode()
NOW = 1_763_640_000.0


def reason_of(headers: dict[str, str], *, body: bytes = BODY, now: float = NOW) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(body, headers, keys=KEYS, now=now)
    return caught.value.reason


def test_what_is_signed_is_the_timestamp_a_pipe_and_the_body() -> None:
    headers = sign(BODY, key=KEY, now=NOW + 0.9)
    assert headers["telnyx-timestamp"] == "1763640000"
    signature = base64.b64decode(headers["telnyx-signature-ed25519"], validate=True)
    assert KEY.verify_key.verify(b"1763640000|" + BODY, signature) == b"1763640000|" + BODY


def test_a_signature_made_elsewhere_is_accepted() -> None:
    signature = base64.b64encode(KEY.sign(b"1763640000|" + BODY).signature).decode()
    verify(BODY, {"telnyx-signature-ed25519": signature, "telnyx-timestamp": "1763640000"}, keys=KEYS, now=NOW)


@given(st.binary(), st.integers(0, 10**11))
def test_what_was_signed_is_verified(body: bytes, now: int) -> None:
    verify(body, sign(body, key=KEY, now=now), keys=KEYS, now=now)


def test_header_names_may_be_in_any_case() -> None:
    headers = {name.title(): value for name, value in sign(BODY, key=KEY, now=NOW).items()}
    assert "Telnyx-Signature-Ed25519" in headers
    verify(BODY, headers, keys=KEYS, now=NOW)


def test_any_of_several_keys_may_match() -> None:
    new = SigningKey(bytes(32))
    for key in (KEY, new):
        verify(BODY, sign(BODY, key=key, now=NOW), keys=[new.verify_key, KEY.verify_key], now=NOW)


def test_no_key_trusts_nothing() -> None:
    with pytest.raises(SignatureError, match="none of 0 keys"):
        verify(BODY, sign(BODY, key=KEY, now=NOW), keys=[], now=NOW)


@pytest.mark.parametrize("name", ["telnyx-signature-ed25519", "telnyx-timestamp"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_or_empty_header_is_missing(name: str, value: str | None) -> None:
    headers = sign(BODY, key=KEY, now=NOW)
    del headers[name]
    if value is not None:
        headers[name] = value
    assert reason_of(headers) == "missing"


@pytest.mark.parametrize("away", [-300, -299, 0, 299, 300])
def test_the_tolerance_is_inclusive_both_ways(away: int) -> None:
    verify(BODY, sign(BODY, key=KEY, now=NOW + away), keys=KEYS, now=NOW)


@pytest.mark.parametrize("away", [-301, 301, 10**9])
def test_a_stale_signature_tells_how_stale(away: int) -> None:
    headers = sign(BODY, key=KEY, now=NOW + away)
    assert reason_of(headers) == "stale"
    with pytest.raises(SignatureError, match=f"{abs(away)} s away, limit 300 s"):
        verify(BODY, headers, keys=KEYS, now=NOW)


@pytest.mark.parametrize(
    "timestamp",
    ["now", "-1763640000", "+1763640000", " 1763640000", "1_763_640_000", "1763640000.0", "\u0661\u0667", "1" * 5000],
)
def test_a_timestamp_that_is_not_ascii_digits_is_malformed(timestamp: str) -> None:
    assert reason_of({**sign(BODY, key=KEY, now=NOW), "telnyx-timestamp": timestamp}) == "malformed"


@pytest.mark.parametrize(
    "signature", ["not base64!", "gr\u00fcn", "YWJj", "YWJj\n" * 20, base64.b64encode(bytes(63)).decode()]
)
def test_a_signature_that_is_not_base64_of_64_octets_is_malformed(signature: str) -> None:
    assert reason_of({**sign(BODY, key=KEY, now=NOW), "telnyx-signature-ed25519": signature}) == "malformed"


def test_a_changed_body_timestamp_or_key_is_wrong() -> None:
    headers = sign(BODY, key=KEY, now=NOW)
    assert reason_of(headers, body=BODY + b" ") == "wrong"
    assert reason_of({**headers, "telnyx-timestamp": "1763640001"}) == "wrong"
    assert reason_of(sign(BODY, key=SigningKey(bytes(32)), now=NOW)) == "wrong"


def test_an_error_never_quotes_the_body() -> None:
    with pytest.raises(SignatureError) as caught:
        verify(b"secret", sign(BODY, key=KEY, now=NOW), keys=KEYS, now=NOW)
    assert "secret" not in str(caught.value)


def test_a_public_key_is_base64_of_32_octets() -> None:
    text = base64.b64encode(bytes(KEY.verify_key)).decode()
    assert load_public_key(f" {text}\n") == KEY.verify_key


def test_a_der_key_is_recognised_and_its_raw_key_told() -> None:
    raw = bytes(KEY.verify_key)
    der = bytes.fromhex("302a300506032b6570032100") + raw
    with pytest.raises(ConfigError, match="DER") as caught:
        load_public_key(base64.b64encode(der).decode())
    assert str(caught.value).endswith(base64.b64encode(raw).decode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 0 octets, want 32"),
        ("YWJj", "has 3 octets, want 32"),
        ("not base64!", "not base64"),
        ("gr\u00fcn", "not base64"),
        ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", "PEM"),
    ],
)
def test_what_is_no_public_key_says_why(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_public_key(text)
