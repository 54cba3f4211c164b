import io
import json
import logging
import sys

import pytest

from gateway.logs import log_of_libraries, make_log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""  # standard output is for results
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_on_a_pipe_is_json_with_its_level_its_time_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    make_log().bind(stream_id="S").warning("something odd", count=3)
    (line,) = lines(capsys)
    timestamp = line.pop("timestamp")
    assert line == {"event": "something odd", "level": "warning", "stream_id": "S", "count": 3}
    assert isinstance(timestamp, str)
    assert timestamp.endswith("Z")


@pytest.mark.parametrize(
    ("level", "told"),
    [("debug", ["debug", "info", "warning", "error"]), ("info", ["info", "warning", "error"]), ("error", ["error"])],
)
def test_what_is_below_the_level_is_not_told(level: str, told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    log = make_log(level)
    log.debug("line")
    log.info("line")
    log.warning("line")
    log.error("line")
    assert [line["level"] for line in lines(capsys)] == told


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_shows_no_local_variables(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = make_log("info", "json" if style == "json" else "text")
    api_key = "KEY" + "0123456789"
    try:
        int("not a " + "number", base=len(api_key))
    except ValueError:
        log.exception("failed")
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "ValueError: invalid literal" in text
    assert api_key not in text


def test_text_is_one_line_for_people_and_without_colours_on_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    make_log(style="text").info("stream started", codec="PCMU/8000")
    text = capsys.readouterr().err
    assert "stream started" in text
    assert "codec=PCMU/8000" in text
    assert "\x1b" not in text
    assert text.count("\n") == 1


def test_a_line_break_in_a_field_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    make_log().warning("bad message", error='x\n{"level": "info", "event": "all is well"}')
    assert [line["event"] for line in lines(capsys)] == ["bad message"]


def test_on_a_terminal_it_is_text_unless_json_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    make_log().info("for people")
    make_log(style="json").info("for programs")
    first, second = terminal.getvalue().splitlines()
    assert "for people" in first
    assert not first.startswith("{")
    assert json.loads(second)["event"] == "for programs"


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_line_holds_what_is_secret_whoever_wrote_it(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = ["the first secret"]
    log = make_log(style="json" if style == "json" else "text", secrets=secrets)
    secrets.append("one that came later")
    try:
        raise KeyError("+15550100002")
    except KeyError:
        log.exception("failed", error="the first secret, one that came later")
    text = capsys.readouterr().err
    assert "KeyError: '[number]'" in text
    assert "[key], [key]" in text
    assert not any(secret in text for secret in (*secrets, "15550100002"))


def test_what_libraries_warn_of_goes_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger().handlers)
    with log_of_libraries(make_log(style="json")):
        logging.getLogger("aiohttp.server").warning("cannot read %s", "sip:alice@example.test")
        logging.getLogger("aiohttp.server").info("not this")
    assert logging.getLogger().handlers == before
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("a library says", "warning", "aiohttp.server")
    assert line["text"] == "cannot read sip:[number]@example.test"
