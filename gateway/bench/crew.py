"""The processes that make load, as one: each has its share of the calls, and all are asked at once."""

import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Final, Self

from gateway.bench.plan import CallPlan
from gateway.bench.worker import Beat, Request, Verb, work
from gateway.errors import GatewayError

__all__ = ["Crew", "LoadError"]

_ANSWER_TIMEOUT: Final = 60.0
_END_TIMEOUT: Final = 5.0


class LoadError(GatewayError):
    """The load cannot be made: say why, there are no figures."""


class Crew:
    """The workers; a context manager.

    Args:
        plan: Of every call.
        processes: How many share them.
    """

    def __init__(self, plan: CallPlan, processes: int) -> None:
        self._plan = plan
        self._context = multiprocessing.get_context("spawn")
        self._of = processes
        self._workers: list[multiprocessing.process.BaseProcess] = []
        self._pipes: list[Connection[Request, Beat]] = []

    def __enter__(self) -> Self:
        try:
            for share in range(self._of):
                ours, theirs = self._context.Pipe()
                worker = self._context.Process(
                    target=work, args=(theirs, self._plan, share, self._of), name=f"load {share}", daemon=True
                )
                worker.start()
                theirs.close()
                self._workers.append(worker)
                self._pipes.append(ours)
            self.ask("report")  # all are there now
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for worker in self._workers:
            worker.join(_END_TIMEOUT)
            if worker.is_alive():
                worker.kill()
                worker.join(_END_TIMEOUT)

    def want(self, calls: int) -> list[Beat]:
        """Have so many calls up, in all."""
        return self._exchange([Request("want", self._share(calls, n)) for n in range(self._of)])

    def ask(self, verb: Verb) -> list[Beat]:
        """Ask every worker the same: `open`, `close` or `report`.

        Raises:
            LoadError: One has died, or does not answer.
        """
        return self._exchange([Request(verb)] * self._of)

    def _share(self, calls: int, n: int) -> int:
        return calls // self._of + (n < calls % self._of)

    def _exchange(self, requests: list[Request]) -> list[Beat]:
        # Ctrl-C waits: half an answer that was read would spoil all that follow.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for pipe, request in zip(self._pipes, requests, strict=True):
                pipe.send(request)
            return [self._receive(pipe) for pipe in self._pipes]
        except (EOFError, OSError) as error:
            raise LoadError(f"a process of the load has died: {type(error).__name__}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _receive(self, pipe: "Connection[Request, Beat]") -> Beat:
        if not pipe.poll(_ANSWER_TIMEOUT):
            raise LoadError(f"a process of the load has not answered for {_ANSWER_TIMEOUT:g} s")
        return pipe.recv()
