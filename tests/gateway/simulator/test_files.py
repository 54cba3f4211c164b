"""What the simulator reads from files."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.files import load_numbers, load_signing_key, parse_switches
from gateway.simulator.switches import Switches
from gateway.simulator.wav import write_wav

from .application import speech


def test_a_key_is_made_once_and_is_the_same_next_time(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = load_signing_key(path)
    assert load_signing_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("text", "words"), [("c2hvcnQ=", "5 octets"), ("no base64!", "key"), ("ä", "key")])
def test_a_key_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "key"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=words):
        load_signing_key(path)
    with pytest.raises(ConfigError, match="nowhere"):
        load_signing_key(tmp_path / "nowhere" / "key")


def test_rules_of_numbers_come_with_their_sound(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(write_wav(speech(0.1), sample_rate=8000))
    path = tmp_path / "numbers.toml"
    path.write_text(
        """
        [default]
        then = "no_answer"
        ring_secs = 3

        ["+15550100001"]
        audio = "hello.wav"
        hang_up_secs = 1.5
        """
    )
    rules = load_numbers(path)
    assert (rules["default"].then, rules["default"].ring_secs) == ("no_answer", 3)
    assert rules["+15550100001"].speaker().speak().tolist() == speech(0.1)[:160].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("default =", "numbers.toml"),
        ("default = 1", "default: want a table"),
        ('[default]\nthen = "dance"', "default: then"),
        ('[default]\naudio = "nowhere.wav"', "nowhere.wav"),
        ('[default]\naudio = "numbers.toml"', "audio: .*WAV"),
        ("[default]\nring = 1", "default: ring"),
    ],
)
def test_a_rule_that_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_numbers(path)
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load_numbers(tmp_path / "absent.toml")


def test_switches_are_named_with_their_values() -> None:
    assert parse_switches([]) == Switches()
    assert parse_switches(["unknown_call=422"]) == Switches(unknown_call="422")
    for pair, words in (("unknown_call=418", "unknown_call"), ("dance=on", "dance"), ("unknown_call", "unknown_call")):
        with pytest.raises(ConfigError, match=words):
            parse_switches([pair])
