"""The Call Control client: sends one command, and again where an answer did not come.

Every attempt of a command carries the same `command_id`, and Telnyx ignores an id that came for the same call within
the last 60 seconds. So a command whose answer was lost can be sent again without acting twice. Three commands take no
id; of these the one that would act twice is not sent again once it may have arrived.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from gateway.control.answers import CALL_HAS_ENDED, Answer, Forwarded, control_error, read_answer, read_at_most
from gateway.control.breaker import CircuitBreaker
from gateway.control.limits import RateGate, SlidingWindow
from gateway.control.retry import RetryPolicy, is_transient, retry_after
from gateway.errors import CircuitOpenError, ConfigError, ControlError, RateLimitError, UnavailableError
from gateway.protocol.commands import Command
from gateway.store.records import CommandRecord

__all__ = ["CALL_HAS_ENDED", "DIAL_WINDOW", "CallControl", "open_session"]

DIAL_WINDOW: Final = 5.0
"""Seconds over which Telnyx counts dials."""

_LONGEST_GATE: Final = 60.0
"""Seconds that an answer may hold other commands back; what says more is taken for a mistake."""

_MAX_FORWARDED: Final = 8 * 2**20

_ACT_TWICE: Final = frozenset({"siprec_start"})
"""Commands without an id that do more when they are repeated."""


@asynccontextmanager
async def open_session(*, connections: int = 100) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the pool of connections to Telnyx; they are kept alive, so that few commands wait for a handshake."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=30.0, ttl_dns_cache=60)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


class CallControl:
    """Sends commands to Telnyx.

    Args:
        session: Its connections are used, and its limit on them holds.
        base_url: Including `/v2`.
        api_key: Sent with every command; stands in no error and no log line.
        retry: When a command is sent again.
        breaker: Fails commands at once while Telnyx's API is down.
        dials: The limit on dials, on the event loop's clock.
        report: Told what became of each command.
        clock: Unix time, in seconds.
        chance: From 0 to 1; moves the pauses.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        api_key: str,
        *,
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        dials: SlidingWindow | None = None,
        report: Callable[[CommandRecord], None] | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ConfigError("TELNYX_API_KEY: want printable ASCII without spaces")
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._retry = retry or RetryPolicy()
        self._breaker = breaker or CircuitBreaker()
        self._dials = dials or SlidingWindow(150, DIAL_WINDOW)
        self._gate = RateGate()
        self._report = report
        self._clock = clock
        self._chance = chance
        self._accepted = 0
        self._failed = 0
        self._repeated = 0

    def counters(self) -> dict[str, int]:
        """What became of the commands so far, and how many attempts were repetitions."""
        return {
            "commands_accepted": self._accepted,
            "commands_failed": self._failed,
            "commands_repeated": self._repeated,
            "commands_circuit_opened": self._breaker.opened,
        }

    async def command(self, call_control_id: str, command: Command, *, strict: bool = False) -> dict[str, Any]:
        """Send a command, and see it accepted.

        Args:
            call_control_id: Of the call; any text, it is escaped. Empty for a dial.
            command: Gets a `command_id` where it has none and may have one.
            strict: A hang-up of a call that is over already is refused, as by Telnyx.

        Returns:
            The answer's `data`: usually `{"result": "ok"}`, of a dial the new call; empty where the answer had none,
            and for a hang-up of a call that is over already.

        Raises:
            ControlError: Refused, or no good answer came in time; `gateway.errors` has its kinds.
        """
        command = command.with_command_id(str(uuid.uuid4()))
        sending = _Sending(command, call_control_id, sent_at=self._clock())
        try:
            data = await self._send(sending)
        except ControlError as error:
            self._note(sending, status=error.status, code=error.code)
            if strict or error.code != CALL_HAS_ENDED or command.action != "hangup":
                self._failed += 1
                raise
            self._accepted += 1
            return {}
        self._accepted += 1
        if not call_control_id:
            sending.call_control_id = str(data.get("call_control_id") or "")
        self._note(sending, status=200, code="")
        return data

    async def forward(self, method: str, target: str, body: bytes, content_type: str) -> Forwarded:
        """Send a request of somebody else's as it is, once, and give back what is answered.

        Args:
            method: Of HTTP.
            target: Path and query under the base URL, escaped, beginning with `/`.
            body: May be empty.
            content_type: Of the body.

        Raises:
            ControlError: No answer came, or it is larger than 8 MiB.
        """
        now = asyncio.get_running_loop().time
        await self._wait_for_turn("forward", now() + self._retry.timeout, None)
        headers = {"Authorization": f"Bearer {self._api_key}"} | ({"Content-Type": content_type} if body else {})
        url = URL(self._base_url + target, encoded=True)
        request = self._session.request(method, url, data=body or None, headers=headers, allow_redirects=False)
        answer = Answer(0)
        try:
            async with asyncio.timeout(self._retry.timeout), request as response:
                answer = Answer(response.status, wait=retry_after(response.headers, now=self._clock()))
                octets = await read_at_most(response, _MAX_FORWARDED)
                return Forwarded(response.status, octets.replace(self._api_key.encode(), b"***"), response.content_type)
        except TimeoutError as error:
            raise UnavailableError(f"no answer within {self._retry.timeout:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"no answer: {type(error).__name__}") from error
        finally:
            self._learn("forward", answer, now=now())

    async def _send(self, sending: "_Sending") -> dict[str, Any]:
        command = sending.command
        url = URL(self._base_url + command.path(sending.call_control_id), encoded=True)
        body = msgspec.json.encode(command.body())
        now = asyncio.get_running_loop().time
        deadline = now() + self._retry.timeout
        error: ControlError | None = None
        while True:
            await self._wait_for_turn(command.action, deadline, error)
            sending.attempts += 1
            self._repeated += sending.attempts > 1
            timeout = min(self._retry.patience(sending.attempts), deadline - now())
            answer = await self._attempt(command.method, url, body, timeout=timeout)
            self._learn(command.action, answer, now=now())
            if 200 <= answer.status < 300:
                return answer.data
            error = control_error(command.action, answer, secret=self._api_key)
            pause = self._retry.pause(sending.attempts, chance=self._chance(), at_least=answer.wait)
            last = sending.attempts == self._retry.attempts or now() + pause >= deadline
            if last or not _may_be_repeated(command, answer):
                raise error
            await asyncio.sleep(pause)

    async def _wait_for_turn(self, action: str, deadline: float, error: ControlError | None) -> None:
        """Wait until the limits let an attempt through; raise the last attempt's error where they do not in time."""
        now = asyncio.get_running_loop().time()
        turn: float | None = self._gate.opens(action, now=now)
        if action == "dial" and turn is not None:
            turn = self._dials.reserve(now=turn, deadline=deadline)
        if turn is None or turn >= deadline:
            raise error or RateLimitError(f"{action}: not sent: the rate limit leaves no room within its time")
        if turn > now:
            await asyncio.sleep(turn - now)
        closed = self._breaker.admit(now=max(now, turn))
        if closed:
            raise error or CircuitOpenError(
                f"{action}: not sent: Telnyx's API has failed again and again; the next attempt is in {closed:.1f} s"
            )

    def _learn(self, action: str, answer: Answer, *, now: float) -> None:
        """Take from an answer what concerns the commands after it."""
        if answer.status == 0 or answer.status >= 500:
            self._breaker.failed(now=now)
        else:
            self._breaker.succeeded()
        if answer.wait:
            self._gate.close(action, until=now + min(answer.wait, _LONGEST_GATE))

    async def _attempt(self, method: str, url: URL, body: bytes, *, timeout: float) -> Answer:
        headers = {"Authorization": f"Bearer {self._api_key}", "Content-Type": "application/json"}
        try:
            # A redirect is not followed: it would carry the key to somewhere else.
            async with (
                asyncio.timeout(timeout),
                self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                return await read_answer(response, now=self._clock())
        except TimeoutError:
            return Answer(0, failure=f"no answer within {timeout:.1f} s")
        except (aiohttp.ClientError, OSError) as error:
            arrived = not isinstance(error, aiohttp.ClientConnectorError)
            return Answer(0, failure=f"no answer: {type(error).__name__}: {error}"[:300], arrived=arrived)

    def _note(self, sending: "_Sending", *, status: int, code: str) -> None:
        if self._report is not None:
            self._report(
                CommandRecord(
                    sending.command.command_id,
                    sending.call_control_id or None,
                    sending.command.action,
                    sending.sent_at,
                    round(max(0.0, self._clock() - sending.sent_at), 3),
                    sending.attempts,
                    status,
                    code,
                )
            )


class _Sending:
    """A command under way."""

    def __init__(self, command: Command, call_control_id: str, *, sent_at: float) -> None:
        self.command = command
        self.call_control_id = call_control_id
        self.sent_at = sent_at
        self.attempts = 0


def _may_be_repeated(command: Command, answer: Answer) -> bool:
    if not is_transient(answer.status):
        return False
    return command.action not in _ACT_TWICE or answer.status == 429 or not answer.arrived
