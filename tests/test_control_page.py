"""`docs/control.md`: every command and every event is there, and each line on the page is right."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import MalformedCommandError
from gateway.protocol import commands
from gateway.protocol.commands import COMMANDS, parse_command
from gateway.protocol.events import EVENTS, parse_event

PAGE = (Path(__file__).parents[1] / "docs" / "control.md").read_text("utf-8")
COMMAND_PART, EVENT_PART = PAGE.split("\n## Events\n")
CURL = re.compile(r"""^curl -sS (-X PUT )?"\$TELNYX_BASE_URL(\S+)" -H "\$KEY" --json '(.*)'$""")
WITHOUT_SCHEMA = {"call.sip_info.received"}


def entries(part: str, language: str) -> dict[str, str]:
    """The first block of code below each heading of the lowest rank."""
    found = re.findall(rf"^#### (\S+)$.*?^```{language}\n(.*?)\n```$", part, re.MULTILINE | re.DOTALL)
    assert len(found) == len(dict(found)), "a heading stands there twice"
    return dict(found)


CURLS, PAYLOADS = entries(COMMAND_PART, "sh"), entries(EVENT_PART, "json")


def test_every_command_and_every_event_is_on_the_page() -> None:
    assert set(CURLS) == set(COMMANDS)
    assert set(PAYLOADS) == set(EVENTS)
    assert len(re.findall(r"^#### ", PAGE, re.MULTILINE)) == len(COMMANDS) + len(EVENTS)


@pytest.mark.parametrize("action", CURLS)
def test_a_curl_line_sends_a_right_command_to_the_right_place(action: str) -> None:
    line = CURL.match(CURLS[action])
    assert line is not None
    method, path, text = line.groups()
    command = COMMANDS[action]
    assert path == command.path("$CALL").replace("%24CALL", "$CALL")
    assert (method is not None) is (command.method == "PUT")
    body = json.loads(text.replace("'$OTHER'", "v3:other"))
    assert command.model_validate(body).body() == body


@pytest.mark.parametrize("event_type", PAYLOADS)
def test_a_payload_is_read_whole(event_type: str) -> None:
    payload = json.loads(PAYLOADS[event_type])
    event = parse_event(json.dumps({"data": {"id": "1", "event_type": event_type, "payload": payload}}).encode())
    assert type(event) is EVENTS[event_type]
    assert event.unreadable == {}
    assert event_type in WITHOUT_SCHEMA or not event.payload.model_extra


def test_the_whole_webhook_on_the_page_is_read() -> None:
    first, *_ = re.findall(r"^```json\n(.*?)\n```$", EVENT_PART, re.MULTILINE)
    event = parse_event(first.encode())
    assert (event.event_type, event.model_extra, event.payload.model_extra) == ("call.dtmf.received", {}, {})


def test_the_refusal_on_the_page_is_what_comes() -> None:
    (refusal,) = re.findall(r"^```json\n(.*?)\n```$", COMMAND_PART, re.MULTILINE)
    with pytest.raises(MalformedCommandError) as caught:
        parse_command("send_dtmf", {"digits": "1", "duration_millis": 501})
    assert json.loads(refusal) == {"errors": caught.value.errors}


def test_the_python_on_the_page_does_what_it_says() -> None:
    (block,) = re.findall(r"^```python\n(.*?)\n```$", COMMAND_PART, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {name: getattr(commands, name) for name in ("SendDtmf", "parse_command")}
    for line in block.splitlines()[2:]:
        code, _, outcome = line.partition("  # ")
        if outcome.startswith("{"):
            assert eval(code, names) == json.loads(outcome)
            continue
        name, words = outcome.split(": ")
        with pytest.raises((ValueError, MalformedCommandError)) as caught:
            eval(code, names)
        assert type(caught.value).__name__ == name
        assert words.split(",")[0] in str(caught.value) + getattr(caught.value, "code", "")
