import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.bench.server_process import ServerProcess
from gateway.errors import ConfigError

TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def process(proc: Path, pid: int, parent: int, *, ticks: int, pages: int, state: str = "S") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    times = f"{ticks} 0 0 0"  # utime, stime, cutime, cstime
    (folder / "stat").write_text(f"{pid} (a) b) {state} {parent} 1 1 0 -1 0 0 0 0 0 {times} 20 0\n")
    (folder / "statm").write_text(f"999 {pages} 1 1 0 1 0\n")


def test_a_server_is_read_with_its_children_and_theirs(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, ticks=TICKS, pages=5)
    process(tmp_path, 11, 10, ticks=2 * TICKS, pages=6)
    process(tmp_path, 12, 11, ticks=3 * TICKS, pages=7)
    process(tmp_path, 13, 1, ticks=50 * TICKS, pages=100)
    process(tmp_path, 14, 10, ticks=50 * TICKS, pages=100, state="Z")
    use = ServerProcess(10, proc=tmp_path).read()
    assert use is not None
    assert (use.cpu, use.memory, use.processes) == (6.0, 18 * PAGE, 3)


def test_a_server_that_has_ended_is_told(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, ticks=1, pages=1)
    server = ServerProcess(10, proc=tmp_path)
    (tmp_path / "10").rename(tmp_path / "11")
    assert server.read() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_process_takes_what_it_burns() -> None:
    burn = "import time; b = bytearray(40 << 20); print(flush=True); input(); end = time.process_time() + 0.2\n"
    burn += "while time.process_time() < end: pass\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdout.readline()
            server = ServerProcess(child.pid)
            before = server.read()
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            after = server.read()
        finally:
            child.kill()
    assert before is not None
    assert after is not None
    assert 0.15 <= after.cpu - before.cpu <= 0.5
    assert after.memory > 40 << 20


def test_where_there_is_no_proc_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="read by /proc"):
        ServerProcess(1, proc=tmp_path / "nothing")


def test_a_process_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no process 99999999"):
        ServerProcess(99_999_999)
