"""What a server takes of the machine, by its process id: CPU and memory, with its children; Linux tells it in /proc.

Source: proc_pid_stat(5), proc_pid_statm(5).
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError

__all__ = ["ServerProcess", "ServerUse"]


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What a server and its children have taken.

    Attributes:
        cpu: Seconds so far, user and system, all threads, and children that have ended; in ticks of 10 ms.
        memory: Octets resident now. What processes share counts in each.
        processes: How many there are.
    """

    cpu: float
    memory: int
    processes: int


class ServerProcess:
    """A server and its children.

    Args:
        pid: Its process id.
        proc: Where the system tells of its processes.

    Raises:
        ConfigError: Nothing can be read of it here.
    """

    def __init__(self, pid: int, *, proc: Path = Path("/proc")) -> None:
        self._pid = pid
        self._proc = proc
        if not (proc / "self" / "stat").exists() and not (proc / str(pid)).exists():
            raise ConfigError(f"--server-pid: a process is read by /proc, which {sys.platform} does not have")
        if self.read() is None:
            raise ConfigError(f"--server-pid: there is no process {pid}")

    def read(self) -> ServerUse | None:
        """What it has taken so far; None if it has ended."""
        children: dict[int, list[int]] = {}
        times: dict[int, float] = {}
        for entry in self._proc.iterdir():
            if entry.name.isdigit() and (fields := self._stat(entry)) is not None:
                pid = int(entry.name)
                children.setdefault(int(fields[1]), []).append(pid)
                times[pid] = sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
        if self._pid not in times:
            return None
        family = [self._pid]
        for pid in family:
            family.extend(children.get(pid, ()))
        return ServerUse(sum(times[pid] for pid in family), sum(map(self._memory, family)), len(family))

    def _stat(self, entry: Path) -> list[str] | None:
        """The fields behind the program's name, which may hold anything: from the state on."""
        try:
            fields = (entry / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None  # it has ended meanwhile
        return None if fields[0] == "Z" else fields

    def _memory(self, pid: int) -> int:
        try:
            return int((self._proc / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0
