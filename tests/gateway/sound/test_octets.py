import os
from pathlib import Path

import pytest

from gateway.errors import PlaybackError
from gateway.sound.octets import open_octets


def test_a_file_and_its_octets_read_alike(tmp_path: Path) -> None:
    octets = bytes(range(200))
    path = tmp_path / "some file"
    path.write_bytes(octets)
    for source in (octets, path, str(path)):
        opened = open_octets(source)
        assert opened.read(0, 4) == octets[:4]
        assert opened.read(190, 100) == octets[190:]
        assert opened.read(200, 1) == b""


def test_nothing_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    descriptors = Path("/proc/self/fd")
    before = sorted(descriptors.iterdir()) if descriptors.exists() else []
    open_octets(path).read(0, 1)
    assert not before or sorted(descriptors.iterdir()) == before


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # a plain open would wait for a writer
    for path, complaint in (
        (pipe, "is not a file"),
        (tmp_path, "is not a file"),
        (Path("/dev/zero"), "is not a file"),
        (tmp_path / "missing", "No such file"),
        (Path("bad\0name"), "cannot read"),
    ):
        with pytest.raises(PlaybackError, match=complaint):
            open_octets(path).read(0, 1)
