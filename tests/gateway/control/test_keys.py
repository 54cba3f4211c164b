import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.control.keys import load_or_make_api_key
from gateway.errors import ConfigError


def test_the_first_start_makes_a_key_that_the_next_one_reads(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    key, made = load_or_make_api_key(data_dir)
    assert made
    assert re.fullmatch(r"[\w-]{43}", key)
    assert load_or_make_api_key(data_dir) == (key, False)


def test_only_the_owner_may_read_the_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    load_or_make_api_key(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]
    assert stat.S_IMODE((tmp_path / "api_key").stat().st_mode) == 0o600


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    assert load_or_make_api_key(tmp_path / "a")[0] != load_or_make_api_key(tmp_path / "b")[0]


def test_of_many_that_start_together_one_makes_the_key_and_all_have_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: load_or_make_api_key(tmp_path), range(32)))
    assert len({key for key, _ in answers}) == 1
    assert [made for _, made in answers].count(True) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    load_or_make_api_key(tmp_path)
    (tmp_path / "api_key").chmod(mode)
    with pytest.raises(ConfigError, match=f"api_key has mode {mode:04o}, want 0600"):
        load_or_make_api_key(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"short\n", b"two words of a key\n", b"a key\nof two lines\n", "schl\u00fcssel".encode() * 4],
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "api_key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="api_key"):
        load_or_make_api_key(tmp_path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot keep the API key"):
        load_or_make_api_key(tmp_path / "file")
