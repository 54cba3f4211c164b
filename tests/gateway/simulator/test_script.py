from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.script import (
    HangUp,
    Listen,
    Say,
    Script,
    ScriptError,
    library,
    load_script,
    parse_script,
)


def parse(text: str) -> Script:
    return parse_script(text, {"a.wav": b"A"}.__getitem__)


def test_a_script_is_read_in_order_with_its_sounds() -> None:
    script = parse('title = "T"\n[[step]]\nsay = "a.wav"\n[[step]]\nlisten = "speech"\n[[step]]\nhang_up = true')
    assert script.title == "T"
    assert script.steps == (Say(say="a.wav"), Listen(listen="speech"), HangUp(hang_up=True))
    assert script.sounds == {"a.wav": b"A"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step = 1", "1 to 1000 steps"),
        ("[[step]", "not TOML"),
        ("", "1 to 1000 steps"),
        ("steps = []", "no 'steps'"),
        ("step = [1]", "step 1: begin it"),
        ("[[step]]", "step 1: want one of say, "),
        ('[[step]]\nsay = "a.wav"\nwait = 1', "found 2"),
        ('[[step]]\nsay = "b.wav"', "step 1: there is no sound 'b.wav'"),
        ("[[step]]\nwait = 1\n[[step]]\nwait = -1", "step 2: wait"),
        ("[[step]]\nwait = inf", "step 1: wait"),
        ('[[step]]\npress = "12x"', "step 1: press"),
        ('[[step]]\npress = "1"\nvolume = 3', "step 1: volume"),
        ('[[step]]\nlisten = "music"', "step 1: listen"),
        ('[[step]]\nlisten = "audio"', "step 1: `file`"),
        ('[[step]]\nlisten = "speech"\nfile = "a.wav"', "step 1: `file`"),
        ("[[step]]\nhang_up = false", "step 1: hang_up"),
    ],
)
def test_what_is_no_script_is_refused_with_the_step_and_the_key(text: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said.replace("(", r"\(")):
        parse(text)


@given(st.text(max_size=200))
def test_any_text_is_a_script_or_an_error(text: str) -> None:
    try:
        parse(text)
    except ScriptError:
        return


def test_sounds_lie_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(b"H")
    (tmp_path / "s.toml").write_text('[[step]]\nsay = "hello.wav"')
    assert load_script(tmp_path / "s.toml").sounds == {"hello.wav": b"H"}


@pytest.mark.parametrize("name", sorted(library()))
def test_every_script_of_the_library_can_be_read_and_says_what_it_is_for(name: str) -> None:
    script = load_script(library()[name])
    assert len(script.title) > 20


def test_the_library_has_someone_for_every_verb() -> None:
    verbs = {type(step) for path in library().values() for step in load_script(path).steps}
    assert len(verbs) == 6
