"""A sink as the settings name it."""

from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.sinks.url import SinkConfig, SinkUrl


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("recorder", ("recorder", "", {})),
        ("null:", ("null", "", {})),
        ("wav:/var/spool/calls", ("wav", "/var/spool/calls", {})),
        ("wav:my%20calls%2C%20old", ("wav", "my calls, old", {})),
        ("level:?interval=5", ("level", "", {"interval": "5"})),
        ("package.module:Class?key=a%26b&other=", ("package.module", "Class", {"key": "a&b", "other": ""})),
        ("deepgram:nova-3?language=en", ("deepgram", "nova-3", {"language": "en"})),
    ],
)
def test_it_is_taken_apart(text: str, parts: tuple[str, str, dict[str, str]]) -> None:
    url = SinkUrl.parse(text)
    assert (url.scheme, url.path, url.options) == parts


@pytest.mark.parametrize("text", ["", ":path", "?a=b", "level:?interval", "level:?a=1&a=2", "level:?&"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some of the words are the library's
        SinkUrl.parse(text)


@given(st.text())
def test_any_text_is_a_sink_or_an_error(text: str) -> None:
    try:
        url = SinkUrl.parse(text)
    except ValueError:
        return
    assert url.scheme


def config(path: str = "", **options: str) -> SinkConfig:
    return SinkConfig(path=path, options=options, data_dir=Path(), log=structlog.get_logger())


def test_an_option_that_nobody_knows_is_refused_by_its_name() -> None:
    config(a="1").only("a", "b")
    config("path").only(path=True)
    with pytest.raises(ValueError, match="no option 'c'; it has: a, b"):
        config(a="1", c="2").only("a", "b")
    with pytest.raises(ValueError, match="no option 'c'; it has: none"):
        config(c="2").only()
    with pytest.raises(ValueError, match="nothing behind its name, and 'path' stands there"):
        config("path").only()


def test_a_number_is_one_and_large_enough() -> None:
    assert config().number("n", 2.5, least=0) == 2.5
    assert config(n="3").number("n", 2.5, least=3) == 3
    for wrong in ("x", "", "2.9", "nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="want a number of at least 3"):
            config(n=wrong).number("n", 2.5, least=3)
