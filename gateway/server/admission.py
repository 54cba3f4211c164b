"""Who may open a media socket.

Telnyx's upgrade request is not signed, so the socket would be open to the world. A stream URL therefore carries a
token: random, signed with a key of this gateway, and made for one call. It is good until that call has hung up, and a
little longer, because a reconnect brings the same token. A call that is being dialled has no id yet when its token is
made; the token is bound to the id that the first `start` names.

The token comes in the header that `stream_auth_token` asks for, else as the last segment of the path, else inside the
`connected` message. It is a secret: it stands in no log, no error and no counter.

Of several workers each makes tokens of its own, which name it, and all sign with one key. A socket whose token names
another worker is handed to that one. Where the token comes too late for that, inside `connected`, the worker that has
the socket takes the call, as the token says all that a ticket must say. Whether the call is over it does not say: there
such a token is good for as long as the longest call may last.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import unquote

from gateway.decision import Encoding
from gateway.errors import AdmissionError
from gateway.protocol.messages import AUTH_FIELD
from gateway.server.transport import Handshake

__all__ = ["Admission", "Ticket", "is_loopback_host"]

MEDIA_PATH = "/media"
_SEED = struct.Struct("!BBI4s6s")
"""What is signed: worker, codec, monotonic second at which it was made, digest of the call's id, a random number."""
_NO_CALL = bytes(4)
_ENCODINGS: Final = (*get_args(Encoding), "MP3")
_CLOCK_RATES: Final = (8000, 16000, 22050, 24000, 48000)
_PORT = re.compile(r":[0-9]{1,5}$")
_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


@dataclass(slots=True)
class Ticket:
    """The right to open the media sockets of one call.

    Attributes:
        call_control_id: The call; None until a dialled call's first `start` names it.
        expires: Monotonic seconds.
        asked_codec: Encoding and clock rate that Telnyx was asked to take from us; None where nobody asked, as the
            door stands open: then what comes in is also what goes out.
        ours: Whether this worker made it.
        made_for: Where another did: what its token says of the call, a digest of the id; zeros for a dialled call.
    """

    call_control_id: str | None
    expires: float
    asked_codec: tuple[str, int] | None
    ours: bool = True
    made_for: bytes = _NO_CALL


class Admission:
    """Issues tokens, and decides over handshakes.

    Args:
        auth: `token`, or `none` for local development.
        clock: Monotonic seconds.
        longest_call: Seconds a ticket is good for when no hang-up is ever told.
        grace: Seconds a ticket outlives its call's hang-up.
        max_tickets: How many to remember; beyond it the oldest is forgotten.
        key: Signs the tokens; one of its own if None. Workers have the same.
        worker: Which of them this is.
    """

    def __init__(
        self,
        auth: str,
        *,
        clock: Callable[[], float],
        longest_call: float = 15_000.0,
        grace: float = 30.0,
        max_tickets: int = 20_000,
        key: bytes | None = None,
        worker: int = 0,
    ) -> None:
        self._open_to_all = auth == "none"
        self._clock = clock
        self._longest_call = longest_call
        self._grace = grace
        self._max_tickets = max_tickets
        self._key = key or secrets.token_bytes(32)
        self._worker = worker
        self._tickets: OrderedDict[bytes, Ticket] = OrderedDict()

    def issue(self, call_control_id: str | None, *, asked_codec: tuple[str, int]) -> str:
        """Make a token for a call that is to be streamed: URL-safe text of 64 characters."""
        now = self._clock()
        made = int(now) & 0xFFFFFFFF
        made_for = _NO_CALL if call_control_id is None else _digest(call_control_id)
        seed = _SEED.pack(self._worker, _codec_number(*asked_codec), made, made_for, secrets.token_bytes(6))
        self._keep(seed, Ticket(call_control_id, now + self._longest_call, asked_codec))
        return base64.urlsafe_b64encode(seed + self._sign(seed)).decode()

    def call_ended(self, call_control_id: str) -> None:
        """Let the tickets of a call that has hung up run out after the grace time."""
        now = self._clock()
        for seed, ticket in list(self._tickets.items()):
            if ticket.call_control_id == call_control_id:
                ticket.expires = min(ticket.expires, now + self._grace)
            if ticket.expires <= now and ticket.ours:  # else the token would be as good as new
                del self._tickets[seed]

    def admit(self, handshake: Handshake) -> Ticket | None:
        """Decide over an upgrade request.

        Returns:
            The ticket; None where no token came, which may still come inside `connected`: call `redeem` with it.

        Raises:
            AdmissionError: Another path (404), a token that is not good (403), or an open door misused (403); the token
                of a worker that could not be given the socket (503).
        """
        token = _token_of(handshake)
        if self._open_to_all:
            self._must_be_local(handshake)
            return Ticket(None, self._clock() + self._longest_call, None)
        if not token:
            return None
        seed = self._verified(token)
        if seed[0] != self._worker and seed not in self._tickets:
            raise AdmissionError("worker_gone", 503, "the worker of the token's call is not there")
        return self._ticket(seed)

    def elsewhere(self, handshake: Handshake) -> int | None:
        """Which other worker made the token of an upgrade request; None for this one, and where there is no telling."""
        try:
            token = _token_of(handshake)
            worker = self._verified(token)[0] if token and not self._open_to_all else self._worker
        except AdmissionError:
            return None  # which the request hears from `admit`
        return None if worker == self._worker else worker

    def redeem(self, token: str | None) -> Ticket:
        """Exchange a token that came inside `connected` for its ticket, whichever worker made it.

        Raises:
            AdmissionError: There is none (401), or it is not one of ours, or its call is over (403).
        """
        seed = self._verified(token)
        worker, codec, made, made_for, _ = _SEED.unpack(seed)
        if worker != self._worker and seed not in self._tickets:
            # The clock is the machine's, so it is that of the other worker as well.
            expires = made + self._longest_call
            self._keep(seed, Ticket(None, expires, _codec_of(codec), ours=False, made_for=made_for))
        return self._ticket(seed)

    def bind(self, ticket: Ticket, call_control_id: str) -> None:
        """Hold the ticket against the call that `start` names.

        Raises:
            AdmissionError: It was made for another call.
        """
        if ticket.call_control_id is None and ticket.made_for in (_NO_CALL, _digest(call_control_id)):
            ticket.call_control_id = call_control_id
        if ticket.call_control_id != call_control_id:
            raise AdmissionError("wrong_call", 403, "the token was made for another call")

    def bind_dialled(self, token: str, call_control_id: str) -> None:
        """Hold a token against the call it was made for, as soon as that has an id; a `start` may have been faster."""
        with suppress(AdmissionError):
            self.bind(self.redeem(token), call_control_id)

    def _keep(self, seed: bytes, ticket: Ticket) -> None:
        self._tickets[seed] = ticket
        while len(self._tickets) > self._max_tickets:
            self._tickets.popitem(last=False)

    def _ticket(self, seed: bytes) -> Ticket:
        ticket = self._tickets.get(seed)
        if ticket is None or ticket.expires <= self._clock():
            raise AdmissionError("call_over", 403, "the token's call is over, or this gateway does not know it")
        return ticket

    def _verified(self, token: str | None) -> bytes:
        """What was signed of a token."""
        if not token:
            raise AdmissionError("no_token", 401, "a media stream needs the token of its call")
        try:
            octets = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            octets = b""
        seed = octets[: _SEED.size]
        if len(seed) < _SEED.size or not hmac.compare_digest(octets[_SEED.size :], self._sign(seed)):
            raise AdmissionError("bad_token", 403, "the token is not one of this gateway's")
        return seed

    def _sign(self, seed: bytes) -> bytes:
        return hmac.digest(self._key, seed, "sha256")

    def _must_be_local(self, handshake: Handshake) -> None:
        """An open door is for this machine: what came through a tunnel or a proxy names another host, or says so."""
        origin = handshake.headers.get("origin", "http://localhost")  # only browsers send one: any page may try
        for host in (handshake.headers.get("host", ""), origin.partition("://")[2]):
            if not is_loopback_host(_PORT.sub("", host.lower()).strip("[]")):
                raise AdmissionError("not_local", 403, "without tokens only streams to a loopback host are admitted")
        if any(name in handshake.headers for name in _FORWARDING_HEADERS):
            raise AdmissionError("forwarded", 403, "without tokens no forwarded stream is admitted")


def _token_of(handshake: Handshake) -> str:
    """What the header or the path says; empty where neither says anything."""
    path = handshake.path.partition("?")[0]
    segments = unquote(path).removeprefix(MEDIA_PATH).split("/")
    if not path.startswith(MEDIA_PATH) or segments[0] or len(segments) > 2:
        raise AdmissionError("no_such_path", 404, f"media streams come in at {MEDIA_PATH}")
    return handshake.headers.get(AUTH_FIELD) or segments[-1]


def _digest(call_control_id: str) -> bytes:
    return hashlib.blake2b(call_control_id.encode("utf-8", "surrogatepass"), digest_size=len(_NO_CALL)).digest()


def _codec_number(encoding: str, clock_rate: int) -> int:
    return _ENCODINGS.index(encoding) * len(_CLOCK_RATES) + _CLOCK_RATES.index(clock_rate)


def _codec_of(number: int) -> tuple[str, int]:
    encoding, clock_rate = divmod(number, len(_CLOCK_RATES))
    return _ENCODINGS[encoding], _CLOCK_RATES[clock_rate]


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address, without port or brackets, is this machine's loopback."""
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())
