"""The same arguments give the same JSON: Telnyx's own Python package beside our models."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from telnyx import Telnyx

from gateway.protocol.commands import COMMANDS, parse_command
from tests.gateway.protocol.fields import documented, samples

FIELDS = documented("commands")
SAMPLES = samples("commands")
CALL = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"

# In the description of July 2026, and no longer in the package, where they are a part of `assistant`.
LEFT_THE_PACKAGE = {("ai_assistant_start", "voice"), ("ai_assistant_start", "voice_settings")}

Send = Callable[[str, dict[str, Any]], httpx.Request]


@pytest.fixture(scope="module")
def send() -> Iterator[Send]:
    """Sends a command by the package; gives the request that would have left."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"data": {"result": "ok"}})

    def send(action: str, arguments: dict[str, Any]) -> httpx.Request:
        method: Any = client
        for name in FIELDS[action]["sdk"].split("."):
            method = getattr(method, name)
        renamed = dict(arguments)
        if "from" in renamed:
            renamed["from_"] = renamed.pop("from")
        if action == "bridge":
            renamed["call_control_id_to_bridge_with"] = renamed.pop("call_control_id")
        if action != "dial":
            renamed["call_control_id_to_bridge" if action == "bridge" else "call_control_id"] = CALL
        method(**renamed)
        return requests.pop()

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = Telnyx(api_key="KEY", base_url="https://api.telnyx.test/v2", http_client=http, max_retries=0)
        yield send


def example(name: str, spec: dict[str, Any]) -> Any:
    """A value that a field may have, made from what is documented of it."""
    if "any_of" in spec:
        spec = {"type": "object", "fields": spec["any_of"][0]}
    match spec:
        case {"enum": [*values]}:
            return values[-1]
        case {"type": [*kinds]}:
            return example(name, {**spec, "type": kinds[-1]})
        case {"type": "object"} if "fields" in spec or "values" in spec:
            fields = spec.get("fields", {})
            return {key: example(key, inner) for key, inner in fields.items()} or {
                "call.hangup": example(name, spec["values"])
            }
        case {"type": "object"}:
            return {"call.hangup": "https://example.test"} if name == "webhook_urls" else {"key": "value"}
        case {"type": "array"}:
            return [example(name, spec.get("items", {"type": "string"}))]
        case {"type": "boolean"}:
            return True
        case {"type": "integer"}:
            return int(spec.get("maximum", 100))
        case {"type": "number"}:
            return spec.get("maximum", 0.75)
        case _:
            return TEXTS.get(name, "1")


ROOM = "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0"
TEXTS = {
    **dict.fromkeys(("client_state", "target_leg_client_state", "playback_content"), "YQ=="),
    **dict.fromkeys(("url", "stream_url", "conversation_relay_url"), "wss://example.test"),
    **dict.fromkeys(("webhook_url", "webhook_urls"), "https://example.test"),
    **dict.fromkeys(("id", "recording_id", "stream_id", "billing_group_id", "video_room_id"), ROOM),
    **dict.fromkeys(("rx", "tx"), "udp:192.0.2.1:9000"),
    "park_after_unbridge": "self",
    "preferred_codecs": "PCMU,PCMA",
    "stop": "all",
    "target_legs": "both",
    "transcription_tracks": "both",
}


def arguments_of(action: str) -> Iterator[dict[str, Any]]:
    """The sample, and then each field with nothing but what it needs."""
    yield {name: value for name, value in SAMPLES[action].items() if (action, name) not in LEFT_THE_PACKAGE}
    fields = FIELDS[action]["fields"]
    needed = {name: SAMPLES[action][name] for name, spec in fields.items() if spec.get("required")}
    if action == "fork_start":
        needed |= {name: SAMPLES[action][name] for name in ("rx", "tx")}
    beside = {name: other for one, other in COMMANDS[action].needs for name in [one]}
    for name, spec in fields.items():
        if (action, name) in LEFT_THE_PACKAGE or (action, name) in WITHOUT_CALL:
            continue
        also = {beside[name]: example(beside[name], fields[beside[name]])} if name in beside else {}
        yield needed | also | {name: example(name, spec)}


# The package wants the id of another leg in every bridge; its text rules it out beside these.
WITHOUT_CALL = {("bridge", "queue"), ("bridge", "video_room_id"), ("bridge", "video_room_context")}


@pytest.mark.parametrize("action", COMMANDS)
def test_the_package_sends_what_we_send(action: str, send: Send) -> None:
    for arguments in arguments_of(action):
        request = send(action, arguments)
        ours = COMMANDS[action].model_validate(arguments)
        assert (request.method, request.url.path) == (ours.method, f"/v2{ours.path(CALL)}")
        theirs = json.loads(request.content)
        assert json.loads(json.dumps(ours.body())) == theirs, arguments
        assert parse_command(action, request.content).body() == theirs, arguments


def test_a_command_without_fields_is_an_empty_object(send: Send) -> None:
    assert send("suppression_stop", {}).content == b"{}"
