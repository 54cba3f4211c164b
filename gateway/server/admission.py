"""Who may open a media socket.

Telnyx's upgrade request is not signed, so the socket would be open to the world. A stream URL therefore carries a
token: random, signed with a key of this gateway, and made for one call. It is good until that call has hung up, and a
little longer, because a reconnect brings the same token. A call that is being dialled has no id yet when its token is
made; the token is bound to the id that the first `start` names.

The token comes in the header that `stream_auth_token` asks for, else as the last segment of the path, else inside the
`connected` message. It is a secret: it stands in no log, no error and no counter.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.errors import AdmissionError
from gateway.protocol.messages import AUTH_FIELD
from gateway.server.transport import Handshake

__all__ = ["Admission", "Ticket", "is_loopback_host"]

MEDIA_PATH = "/media"
_NONCE_BYTES = 16
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
    """

    call_control_id: str | None
    expires: float
    asked_codec: tuple[str, int] | None


class Admission:
    """Issues tokens, and decides over handshakes.

    Args:
        auth: `token`, or `none` for local development.
        clock: Monotonic seconds.
        longest_call: Seconds a ticket is good for when no hang-up is ever told.
        grace: Seconds a ticket outlives its call's hang-up.
        max_tickets: How many to remember; beyond it the oldest is forgotten.
    """

    def __init__(
        self,
        auth: str,
        *,
        clock: Callable[[], float],
        longest_call: float = 15_000.0,
        grace: float = 30.0,
        max_tickets: int = 20_000,
    ) -> None:
        self._open_to_all = auth == "none"
        self._clock = clock
        self._longest_call = longest_call
        self._grace = grace
        self._max_tickets = max_tickets
        self._key = secrets.token_bytes(32)
        self._tickets: OrderedDict[bytes, Ticket] = OrderedDict()

    def issue(self, call_control_id: str | None, *, asked_codec: tuple[str, int]) -> str:
        """Make a token for a call that is to be streamed: URL-safe text of 64 characters."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        self._tickets[nonce] = Ticket(call_control_id, self._clock() + self._longest_call, asked_codec)
        while len(self._tickets) > self._max_tickets:
            self._tickets.popitem(last=False)
        return base64.urlsafe_b64encode(nonce + self._sign(nonce)).decode()

    def call_ended(self, call_control_id: str) -> None:
        """Let the tickets of a call that has hung up run out after the grace time."""
        now = self._clock()
        for nonce, ticket in list(self._tickets.items()):
            if ticket.call_control_id == call_control_id:
                ticket.expires = min(ticket.expires, now + self._grace)
            if ticket.expires <= now:
                del self._tickets[nonce]

    def admit(self, handshake: Handshake) -> Ticket | None:
        """Decide over an upgrade request.

        Returns:
            The ticket; None where no token came, which may still come inside `connected`: call `redeem` with it.

        Raises:
            AdmissionError: Another path (404), a token that is not good (403), or an open door misused (403).
        """
        path = handshake.path.partition("?")[0]
        segments = unquote(path).removeprefix(MEDIA_PATH).split("/")
        if not path.startswith(MEDIA_PATH) or segments[0] or len(segments) > 2:
            raise AdmissionError("no_such_path", 404, f"media streams come in at {MEDIA_PATH}")
        if self._open_to_all:
            self._must_be_local(handshake)
            return Ticket(None, self._clock() + self._longest_call, None)
        token = handshake.headers.get(AUTH_FIELD) or segments[-1]
        return self.redeem(token) if token else None

    def redeem(self, token: str | None) -> Ticket:
        """Exchange a token for its ticket.

        Raises:
            AdmissionError: There is none (401), or it is not one of ours, or its call is over (403).
        """
        if not token:
            raise AdmissionError("no_token", 401, "a media stream needs the token of its call")
        try:
            octets = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            octets = b""
        nonce = octets[:_NONCE_BYTES]
        if not hmac.compare_digest(octets[_NONCE_BYTES:], self._sign(nonce)):
            raise AdmissionError("bad_token", 403, "the token is not one of this gateway's")
        ticket = self._tickets.get(nonce)
        if ticket is None or ticket.expires <= self._clock():
            raise AdmissionError("call_over", 403, "the token's call is over, or this gateway does not know it")
        return ticket

    def bind(self, ticket: Ticket, call_control_id: str) -> None:
        """Hold the ticket against the call that `start` names.

        Raises:
            AdmissionError: It was made for another call.
        """
        if ticket.call_control_id is None:
            ticket.call_control_id = call_control_id
        if ticket.call_control_id != call_control_id:
            raise AdmissionError("wrong_call", 403, "the token was made for another call")

    def bind_dialled(self, token: str, call_control_id: str) -> None:
        """Hold a token against the call it was made for, as soon as that has an id; a `start` may have been faster."""
        with suppress(AdmissionError):
            self.bind(self.redeem(token), call_control_id)

    def _sign(self, nonce: bytes) -> bytes:
        return hmac.digest(self._key, nonce, "sha256")

    def _must_be_local(self, handshake: Handshake) -> None:
        """An open door is for this machine: what came through a tunnel or a proxy names another host, or says so."""
        origin = handshake.headers.get("origin", "http://localhost")  # only browsers send one: any page may try
        for host in (handshake.headers.get("host", ""), origin.partition("://")[2]):
            if not is_loopback_host(_PORT.sub("", host.lower()).strip("[]")):
                raise AdmissionError("not_local", 403, "without tokens only streams to a loopback host are admitted")
        if any(name in handshake.headers for name in _FORWARDING_HEADERS):
            raise AdmissionError("forwarded", 403, "without tokens no forwarded stream is admitted")


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address, without port or brackets, is this machine's loopback."""
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())
