import re
from pathlib import Path

import pytest

from gateway.agents.ivr.menus import load_menus
from gateway.errors import ConfigError

GOOD = """
start = "main"

[menus.main]
prompt = {play = "hello.wav"}
timeout = 3
[menus.main.keys]
1 = {transfer = "+15550100009", prompt = {say = "One moment."}, then = "main"}
2 = {menu = "more"}
9 = {repeat = true}

[menus.more]
prompt = {say = "Leave a message, or press the star key."}
failed = {menu = "main"}
[menus.more.keys]
1 = {record = 60}
"*" = {hangup = true}
"""


def load(folder: Path, text: str, *, speaks: bool = True) -> None:
    (folder / "hello.wav").touch()
    (folder / "menus.toml").write_text(text)
    load_menus(folder / "menus.toml", speaks=speaks)


def test_files_are_found_beside_the_menus(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    menus = load_menus(tmp_path / "menus.toml", speaks=True)
    assert menus.menus["main"].prompt.play == tmp_path / "hello.wav"
    assert menus.menus["more"].failed.menu == "main"
    assert menus.menus["main"].failed.hangup


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('start = "main"', 'start = "begin"', "start: there is no menu 'begin'"),
        ('{menu = "more"}', '{menu = "moer"}', r"menus\.main\.keys\.2: there is no menu 'moer'"),
        ('failed = {menu = "main"}', 'failed = {menu = "x"}', r"menus\.more\.failed: there is no menu 'x'"),
        ('{play = "hello.wav"}', '{play = "hallo.wav"}', r"menus\.main\.prompt: there is no file '.*hallo\.wav'"),
        ('{play = "hello.wav"}', '{play = "hello.wav", say = "x"}', "want either play, a file, or say, a text"),
        ("{repeat = true}", "{repeat = true, hangup = true}", "want exactly one of: menu, transfer"),
        ("{repeat = true}", "{}", "want exactly one of: menu, transfer"),
        ('"+15550100009"', '"0049"', r"menus\.main\.keys\.1\.transfer: "),
        ("9 = {", "99 = {", "there is no key '99'"),
        ("timeout = 3", "timeuot = 3", r"menus\.main\.timeuot: Extra inputs"),
        ("{record = 60}", "{record = 0}", r"menus\.more\.keys\.1\.record"),
        ("{hangup = true}", '{hangup = true, then = "main"}', "then is for record and transfer"),
        ('failed = {menu = "main"}', "failed = {repeat = true}", "failed cannot be repeat"),
        ("start", "start = ", "cannot read the menus"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_words_need_a_speech_service_and_every_such_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, GOOD, speaks=False)
    assert str(error.value).count("say needs a speech service: set GATEWAY_SPEECH") == 2
    assert "menus.main.keys.1.prompt: say" in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the menus in .*none\.toml"):
        load_menus(tmp_path / "none.toml", speaks=True)


def test_the_menus_of_the_guide_can_be_loaded(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[4] / "docs" / "agents.md").read_text("utf-8")
    (menus,) = re.findall(r"^```toml\n(start = .*?)^```$", guide, re.MULTILINE | re.DOTALL)
    for name in re.findall(r'play = "([^"]+)"', menus):
        (tmp_path / name).touch()
    load(tmp_path, menus)
