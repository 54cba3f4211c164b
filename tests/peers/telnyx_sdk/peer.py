"""Telnyx's own Python package drives the simulator, and verifies what it sends.

The package's classes read every answer, its errors are those of its users, and its verification decides whether a
webhook counts: what it refuses did not come. The media socket is a plain WebSocket server that echoes.
"""

import base64
import http.server
import io
import json
import math
import os
import struct
import sys
import threading
import time
import traceback
import urllib.request
import wave
from collections.abc import Callable
from typing import Any

import telnyx
from telnyx import Telnyx
from websockets.sync.server import ServerConnection, serve

SIM = os.environ["SIMULATOR_URL"]
CONNECTION = "1684641123236054244"
OURS, THEIRS = "+15550100002", "+15550100001"
AT_ONCE, RINGS, BUSY, FORBIDDEN, MACHINE = (f"+15550100{digits}" for digits in ("200", "408", "486", "403", "700"))
STATE, OTHER_STATE = "c3RhdGU=", "b3RoZXI="


class Webhooks(http.server.ThreadingHTTPServer):
    """Takes webhooks; keeps those that the package accepts."""

    def __init__(self, client: Telnyx) -> None:
        self.client = client
        self.events: list[Any] = []
        self.raw: list[tuple[str, dict[str, str]]] = []
        self.refused: list[str] = []
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/webhooks"

    def of(self, call: str) -> list[str]:
        """What happened on one call, in the order in which it came."""
        return [event.data.event_type for event in self.events if event.data.payload.call_control_id == call]

    def wait(self, event_type: str, call: str | None = None) -> Any:
        """Wait for an event; returns its payload."""

        def found() -> Any:
            for event in self.events:
                payload = event.data.payload
                if event.data.event_type == event_type and call in (None, payload.call_control_id):
                    return payload
            return None

        with self.changed:
            assert self.changed.wait_for(found, timeout=15), f"no {event_type} on {call}; refused: {self.refused}"
            return found()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Webhooks

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = dict(self.headers.items())
        with self.server.changed:
            try:
                self.server.events.append(self.server.client.webhooks.unwrap(body, headers=headers))
                self.server.raw.append((body, headers))
            except ValueError as error:
                self.server.refused.append(str(error))
            self.server.changed.notify_all()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class Media:
    """A media socket that echoes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._server = serve(self._echo, "127.0.0.1", 0, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/media"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _echo(self, socket: ServerConnection) -> None:
        for text in socket:
            message = json.loads(text)
            if message["event"] == "media":
                socket.send(json.dumps({"event": "media", "media": {"payload": message["media"]["payload"]}}))
            else:
                self.events.append(message)


def sim(method: str, path: str, body: Any = None) -> Any:
    """What Telnyx has no API for."""
    request = urllib.request.Request(SIM + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]


def speech(seconds: float) -> str:
    """A rising tone as base64 of a WAV file; its first sample is 0, and the next are not."""
    samples = [round(9000 * math.sin(0.3 * n + 0.00005 * n * n)) for n in range(round(8000 * seconds))]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return base64.b64encode(buffer.getvalue()).decode()


def samples_of(path: str) -> tuple[int, ...]:
    """The sound of a WAV file that the simulator serves."""
    with urllib.request.urlopen(SIM + path, timeout=10) as answer, wave.open(io.BytesIO(answer.read())) as file:
        return struct.unpack(f"<{file.getnframes()}h", file.readframes(file.getnframes()))


def data(answer: Any) -> Any:
    """What an answer holds."""
    assert answer.data is not None
    return answer.data


class Session:
    """One run of all checks, which share a client and a webhook server."""

    def __init__(self) -> None:
        self.client = Telnyx()
        self.hooks = Webhooks(self.client)
        self.media = Media()

    def dial(self, to: str = AT_ONCE, **fields: Any) -> Any:
        calls = self.client.calls
        placed = data(calls.dial(connection_id=CONNECTION, from_=OURS, to=to, webhook_url=self.hooks.url, **fields))
        assert placed.record_type == "call"
        assert placed.is_alive is False, "documented: always false for dial"
        return placed

    def answered(self, **fields: Any) -> str:
        call = str(self.dial(**fields).call_control_id)
        self.hooks.wait("call.answered", call)
        return call

    def call_in(self, **fields: Any) -> str:
        body = {"from": THEIRS, "to": OURS, "webhook_url": self.hooks.url, "silence_after": None} | fields
        call = str(sim("POST", "/calls", body)["call_control_id"])
        self.hooks.wait("call.initiated", call)
        return call

    # --- the checks -------------------------------------------------------------------------------------------

    def check_dial_status_and_hangup(self) -> None:
        """dial, retrieve_status, hangup; call.initiated, call.answered, call.hangup."""
        call = self.answered(client_state=STATE)
        status = data(self.client.calls.retrieve_status(call))
        assert (status.is_alive, status.client_state) == (True, STATE)
        assert data(self.client.calls.actions.hangup(call)).result == "ok"
        hangup = self.hooks.wait("call.hangup", call)
        assert (hangup.hangup_cause, hangup.hangup_source, hangup.client_state) == ("normal_clearing", "caller", STATE)
        assert self.hooks.of(call) == ["call.initiated", "call.answered", "call.hangup"]
        assert data(self.client.calls.retrieve_status(call)).is_alive is False

    def check_busy(self) -> None:
        """dial to somebody who is busy; call.hangup with user_busy."""
        hangup = self.hooks.wait("call.hangup", self.dial(to=BUSY).call_control_id)
        assert (hangup.hangup_cause, hangup.sip_hangup_cause) == ("user_busy", "486")

    def check_answer_stream_and_echo(self) -> None:
        """answer, start_streaming, stop_streaming of an incoming call; the caller hears the echo sample for sample."""
        call = self.call_in(audio=speech(0.6))
        self.client.calls.actions.answer(call, client_state=STATE)
        self.hooks.wait("call.answered", call)
        self.client.calls.actions.start_streaming(
            call,
            stream_url=self.media.url,
            stream_track="inbound_track",
            stream_bidirectional_mode="rtp",
            stream_bidirectional_codec="PCMU",
            stream_auth_token="tok-1",
        )
        self.hooks.wait("streaming.started", call)
        time.sleep(1.2)
        self.client.calls.actions.stop_streaming(call)
        self.hooks.wait("streaming.stopped", call)
        connected, start, stop = self.media.events
        assert connected["connected"] == {"x-telnyx-streaming-auth-token": "tok-1"}
        assert (start["start"]["call_control_id"], start["start"]["client_state"]) == (call, STATE)
        assert stop["event"] == "stop"
        heard, said = (samples_of(f"/calls/{call}/heard/{party}.wav") for party in ("person", "application"))
        first = next(n for n, sample in enumerate(heard) if sample)
        echo = heard[first : first + 4700]
        assert echo == said[1:4701], "the echo is what was sent"
        self.client.calls.actions.hangup(call)
        self.hooks.wait("call.hangup", call)

    def check_reject(self) -> None:
        """reject of an incoming call."""
        call = self.call_in()
        self.client.calls.actions.reject(call, cause="USER_BUSY")
        assert self.hooks.wait("call.hangup", call).hangup_cause == "user_busy"

    def check_bridge(self) -> None:
        """bridge of two calls; when one is hung up, the other is too."""
        first, second = self.answered(), self.answered()
        self.client.calls.actions.bridge(first, call_control_id_to_bridge_with=second)
        for call in (first, second):
            self.hooks.wait("call.bridged", call)
        self.client.calls.actions.hangup(second)
        self.hooks.wait("call.hangup", first)

    def check_transfer(self) -> None:
        """transfer to somebody else; the new leg belongs to the same session."""
        call = self.answered()
        self.client.calls.actions.transfer(call, to=THEIRS, target_leg_client_state=OTHER_STATE)
        session = self.hooks.wait("call.bridged", call).call_session_id
        new = {e.data.payload.call_control_id for e in self.hooks.events if e.data.payload.call_session_id == session}
        (other,) = new - {call}
        assert self.hooks.wait("call.bridged", other).client_state == OTHER_STATE
        self.client.calls.actions.hangup(call)
        self.hooks.wait("call.hangup", other)

    def check_client_state(self) -> None:
        """update_client_state, which is a PUT."""
        call = self.answered()
        self.client.calls.actions.update_client_state(call, client_state=OTHER_STATE)
        self.client.calls.actions.hangup(call)
        assert self.hooks.wait("call.hangup", call).client_state == OTHER_STATE

    def check_command_id(self) -> None:
        """dial and hangup with a command_id that came before."""
        first, again = (self.dial(command_id="peer-1").call_control_id for _ in range(2))
        assert first == again
        self.hooks.wait("call.answered", first)
        for _ in range(2):
            assert data(self.client.calls.actions.hangup(first, command_id="peer-2")).result == "ok"
        self.hooks.wait("call.hangup", first)

    def check_amd(self) -> None:
        """dial with answering_machine_detection; the events of a machine with a beep."""
        config: Any = {"greeting_duration_millis": 300, "total_analysis_time_millis": 8000}
        call = self.dial(
            to=MACHINE, answering_machine_detection="premium", answering_machine_detection_config=config
        ).call_control_id
        assert self.hooks.wait("call.machine.premium.detection.ended", call).result == "machine"
        assert self.hooks.wait("call.machine.premium.greeting.ended", call).result == "beep_detected"
        self.client.calls.actions.hangup(call)

    def check_active_calls(self) -> None:
        """connections.list_active_calls, page by page."""
        calls = [self.dial(to=RINGS).call_control_id for _ in range(5)]
        listed = [item.call_control_id for item in self.client.connections.list_active_calls(CONNECTION, page_size=2)]
        assert set(calls) <= set(listed)
        assert len(listed) == len(set(listed))
        for call in calls:
            self.client.calls.actions.hangup(call)
            assert self.hooks.wait("call.hangup", call).hangup_cause == "originator_cancel"

    def check_errors(self) -> None:
        """What is refused is raised as the package's own error for it, with Telnyx's code."""
        call = self.answered()
        actions = self.client.calls.actions
        self.fails(telnyx.UnprocessableEntityError, "90102", lambda: actions.answer(call))
        self.fails(telnyx.UnprocessableEntityError, "90048", lambda: actions.stop_streaming(call))
        self.fails(telnyx.UnprocessableEntityError, "90017", lambda: actions.hangup(call, client_state="?"))
        actions.hangup(call)
        self.hooks.wait("call.hangup", call)
        self.fails(telnyx.UnprocessableEntityError, "90018", lambda: actions.hangup(call))
        self.fails(telnyx.NotFoundError, "10005", lambda: actions.hangup("v3:nobody"))
        self.fails(telnyx.PermissionDeniedError, "10010", lambda: self.dial(to=FORBIDDEN))
        self.fails(telnyx.UnprocessableEntityError, "10016", lambda: self.dial(to="5550100001"))
        stranger = Telnyx(api_key="wrong", max_retries=0)
        self.fails(telnyx.AuthenticationError, "10009", lambda: stranger.calls.retrieve_status(call))

    def check_not_simulated(self) -> None:
        """What is not simulated is 501, and the package does not try it again."""
        call = self.answered()
        before = len(sim("GET", "/events?kind=command"))
        start: Callable[[], Any] = lambda: self.client.calls.actions.enqueue(call, queue_name="support")  # noqa: E731
        self.fails(telnyx.InternalServerError, "10007", start)
        assert len(sim("GET", "/events?kind=command")) - before == 1
        self.client.calls.actions.hangup(call)

    def check_rate_limit(self) -> None:
        """429 with its headers: an error at once without retries; with retries the package waits and succeeds."""
        call = self.answered()
        sim("PUT", "/limits", {"requests": {"requests": 1, "seconds": 1}})
        try:
            self.client.calls.retrieve_status(call)
            impatient = Telnyx(max_retries=0)
            error = self.fails(telnyx.RateLimitError, "10011", lambda: impatient.calls.retrieve_status(call))
            assert error.response.headers["x-ratelimit-remaining"] == "0"
            assert self.client.calls.retrieve_status(call).data is not None
        finally:
            sim("PUT", "/limits", {"requests": {"requests": 1000, "seconds": 1}})
        self.client.calls.actions.hangup(call)

    def check_verification(self) -> None:
        """What was not signed with the simulator's key, or was changed, the package refuses."""
        assert self.hooks.refused == [], "every webhook of this run was accepted"
        assert len(self.hooks.raw) > 40
        body, headers = self.hooks.raw[0]
        self.client.webhooks.unwrap(body, headers=headers)
        other = base64.b64encode(bytes(range(32))).decode()
        for changed, key in ((body + " ", None), (body.replace("call.", "cell.", 1), None), (body, other)):
            try:
                self.client.webhooks.unwrap(changed, headers=headers, key=key)
            except ValueError:
                continue
            raise AssertionError("a webhook that is not right was accepted")

    def fails(self, kind: type[Exception], code: str, action: Callable[[], Any]) -> Any:
        """The action must raise this error, with this code of Telnyx."""
        try:
            action()
        except kind as error:
            assert isinstance(error, telnyx.APIStatusError)
            body: Any = error.body
            assert body["errors"][0]["code"] == code, body
            return error
        raise AssertionError(f"want {kind.__name__} with code {code}")


def main() -> int:
    """Run every check; each that fails is told with its reason."""
    print(f"telnyx {telnyx.__version__}")
    session = Session()
    failed = 0
    for name in [name for name in vars(Session) if name.startswith("check_")]:
        check = getattr(session, name)
        result = "ok"
        try:
            check()
        except Exception:  # noqa: BLE001 - the other checks may still tell something
            result, failed = "FAILED", failed + 1
            traceback.print_exc()
        print(f"  {result:7} {check.__doc__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
