"""The signature of a webhook: Ed25519 over the timestamp, a pipe character and the raw body.

The body is signed as it stands on the wire: parsing and writing it again breaks the signature. The timestamp is
signed with it, so that an old webhook cannot be sent again with a new one.

Source: Telnyx, "Webhook Fundamentals", and the verification in Telnyx's own Python and Node packages.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from gateway.errors import ConfigError, SignatureError

__all__ = ["Reason", "load_public_key", "sign", "verify"]

SIGNATURE_HEADER: Final = "telnyx-signature-ed25519"
TIMESTAMP_HEADER: Final = "telnyx-timestamp"

Reason: TypeAlias = Literal["missing", "malformed", "stale", "wrong"]
"""Why a signature is not trusted: a header is missing, or cannot be read; its time, or the signature, is no good."""

# What a DER file (SubjectPublicKeyInfo) puts before the 32 octets of an Ed25519 key: RFC 8410 section 4.
_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")


def sign(body: bytes, *, key: SigningKey, now: float) -> dict[str, str]:
    """Make the two headers that Telnyx sends with a webhook.

    Args:
        body: The raw body, as it will be sent.
        key: The sender's private key.
        now: Unix time, in seconds; its whole seconds are signed.
    """
    timestamp = str(int(now))
    signature = key.sign(_signed_octets(timestamp, body)).signature
    return {SIGNATURE_HEADER: base64.b64encode(signature).decode(), TIMESTAMP_HEADER: timestamp}


def verify(
    body: bytes, headers: Mapping[str, str], *, keys: Sequence[VerifyKey], now: float, tolerance: float = 300.0
) -> None:
    """Check that a webhook comes from the owner of one of the keys, and comes now. Returns nothing if so.

    Args:
        body: The raw body, before anything else has read it.
        headers: Those of the request; their names in any case.
        keys: Any of them may match, so that a key can be changed without losing a webhook.
        now: Unix time, in seconds.
        tolerance: How far `now` and the timestamp may be apart, either way, in seconds; inclusive.

    Raises:
        SignatureError: With the reason. The message says what was observed, never what was in the body.
    """
    encoded = _header(headers, SIGNATURE_HEADER)
    timestamp = _header(headers, TIMESTAMP_HEADER)
    # int() would also take other scripts' digits, signs, spaces and underscores; 12 digits last for 30,000 years.
    if not (len(timestamp) <= 12 and timestamp.isascii() and timestamp.isdigit()):
        raise SignatureError("malformed", f"{TIMESTAMP_HEADER} is {timestamp[:20]!r}, want whole seconds")
    signature = _decode(encoded)
    away = abs(now - int(timestamp))
    if not away <= tolerance:
        raise SignatureError("stale", f"timestamp is {away:.0f} s away, limit {tolerance:.0f} s")
    signed = _signed_octets(timestamp, body)
    for key in keys:
        if _matches(key, signed, signature):
            return
    raise SignatureError("wrong", f"signature matches none of {len(keys)} keys")


def load_public_key(text: str) -> VerifyKey:
    """Read a public key as Telnyx's portal shows it: base64 of the raw 32 octets.

    Raises:
        ConfigError: It is something else; says what.
    """
    if "-----BEGIN" in text:
        raise ConfigError("the public key is a PEM file; want the raw key, base64 of 32 octets")
    try:
        octets = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise ConfigError(f"the public key is not base64: {error}") from error
    if octets.startswith(_SPKI_PREFIX) and len(octets) == len(_SPKI_PREFIX) + 32:
        raw = base64.b64encode(octets.removeprefix(_SPKI_PREFIX)).decode()
        raise ConfigError(f"the public key is in DER form (SPKI, 44 octets); the raw key in it is {raw}")
    if len(octets) != 32:
        raise ConfigError(f"the public key has {len(octets)} octets, want 32")
    return VerifyKey(octets)


def _signed_octets(timestamp: str, body: bytes) -> bytes:
    return timestamp.encode("ascii") + b"|" + body


def _header(headers: Mapping[str, str], wanted: str) -> str:
    value = headers.get(wanted)  # finds it at once where the mapping itself does not mind the case
    if value:
        return value
    for name, value in headers.items():
        if name.lower() == wanted and value:
            return value
    raise SignatureError("missing", f"no {wanted} header")


def _decode(encoded: str) -> bytes:
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError("malformed", f"{SIGNATURE_HEADER} is not base64") from error
    if len(signature) != 64:
        raise SignatureError("malformed", f"{SIGNATURE_HEADER} has {len(signature)} octets, want 64")
    return signature


def _matches(key: VerifyKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signed, signature)
    except BadSignatureError:
        return False
    return True
