"""The gathers of one call, one at a time: keys, prompts and the clock brought to `Gathering`, and its result told."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import MediaServiceError
from gateway.playback import Playback
from gateway.services.gather import Gathered, Gathering, GatherOptions, Say

__all__ = ["Gather", "Gathers"]

MakePrompt = Callable[[], Playback]


class Gather:
    """One gather; `await` it for its result.

    Attributes:
        gather_id: Its name, for its event.
        error: Why a prompt could not be played, which has ended it; None if none failed.
    """

    def __init__(self, gather_id: str, gathering: Gathering, prompts: Mapping[Say, MakePrompt]) -> None:
        self.gather_id = gather_id
        self.error: Exception | None = None
        self.gathering = gathering
        self.prompts = prompts
        self.prompt: Playback | None = None  # what is being said
        self.shown: tuple[int, Say | None] = (0, None)  # the try and the prompt that was followed last
        self.ended = asyncio.Event()

    @property
    def result(self) -> Gathered | None:
        """What came of it; None until then."""
        return self.gathering.result

    async def wait(self) -> Gathered:
        """Wait for its end.

        Raises:
            MediaServiceError: A prompt could not be played; or whatever an application's own prompt has raised.
        """
        await self.ended.wait()
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class Gathers:
    """Runs the gathers of one call, by plain calls.

    Args:
        clock: Monotonic seconds.
        wake_at: Calls back at a time of that clock, or a little later.
        publish: Tells an event of the call.

    Attributes:
        last: The present one, or the one before; None before there is one.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        wake_at: Callable[[float, Callable[[float], None]], None],
        publish: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.last: Gather | None = None
        self._clock = clock
        self._wake_at = wake_at
        self._publish = publish
        self._current: Gather | None = None
        self._armed_for: float | None = None

    def start(
        self,
        options: GatherOptions,
        *,
        prompt: MakePrompt | None = None,
        invalid_prompt: MakePrompt | None = None,
        gather_id: str | None = None,
    ) -> Gather:
        """Begin to gather.

        Args:
            options: What is asked for.
            prompt: Plays what is to be heard first, in each try.
            invalid_prompt: Plays what is to be heard before that in each further try.
            gather_id: Its name; a made one if None.

        Raises:
            MediaServiceError: One is under way.
        """
        if self._current is not None:
            raise MediaServiceError(f"the gather {self._current.gather_id!r} is under way")
        prompts = {Say.PROMPT: prompt, Say.INVALID_PROMPT: invalid_prompt}
        gathering = Gathering(
            options, prompt=prompt is not None, invalid_prompt=invalid_prompt is not None, now=self._clock()
        )
        self._current = self.last = Gather(
            gather_id or secrets.token_hex(8),
            gathering,
            {say: make for say, make in prompts.items() if make is not None},
        )
        gather = self._current
        self._follow(gather)
        return gather

    def key(self, digit: str) -> None:
        """A key was pressed."""
        if (gather := self._current) is not None:
            gather.gathering.key(digit, now=self._clock())
            self._follow(gather)

    def stop(self, gather: Gather | None = None) -> bool:
        """End the present gather as `cancelled`, if it is this one, or any; returns whether there was one."""
        current = self._current
        if current is None or (gather is not None and gather is not current):
            return False
        current.gathering.end("cancelled")
        self._follow(current)
        return True

    def call_ended(self) -> None:
        """The call is over."""
        if (gather := self._current) is not None:
            gather.gathering.end("call_hangup")
            self._follow(gather)

    def _wake(self, now: float) -> None:
        self._armed_for = None
        if (gather := self._current) is not None:
            gather.gathering.pass_time(now=now)
            self._follow(gather)

    def _follow(self, gather: Gather) -> None:
        """Do what the gather wants by now: fall silent, say something, be woken, or be told as ended."""
        gathering = gather.gathering
        shown = (gathering.tries, gathering.say)
        if shown != gather.shown:
            gather.shown = shown
            playback, gather.prompt = gather.prompt, None
            if playback is not None:
                playback.cancel()
            if gathering.say is not None and not self._say(gather, gather.prompts[gathering.say]):
                return
        if gathering.result is not None:
            self._end(gather)
        elif (deadline := gathering.deadline()) is not None and (self._armed_for is None or deadline < self._armed_for):
            self._armed_for = deadline
            self._wake_at(deadline, self._wake)

    def _say(self, gather: Gather, make: MakePrompt) -> bool:
        """Play a prompt; returns whether that could be begun."""
        try:
            gather.prompt = playback = make()
        except Exception as error:  # noqa: BLE001 - an application's own code; the call goes on
            self._fail(gather, error)
            return False
        shown, loop = gather.shown, asyncio.get_running_loop()

        # Not from within: the player is still at its accounts as it tells of an end, and what follows may be a play.
        def over(playback: Playback) -> None:
            loop.call_soon(self._said, gather, playback, shown)

        playback.add_done_callback(over)
        return True

    def _said(self, gather: Gather, playback: Playback, shown: tuple[int, Say | None]) -> None:
        if gather is not self._current or gather.shown != shown:
            return
        gather.prompt = None
        finished = playback.finished
        if finished is not None and finished.error is not None:
            self._fail(gather, MediaServiceError(f"the prompt cannot be played: {finished.error}"))
            return
        gather.gathering.said(now=self._clock())
        self._follow(gather)

    def _fail(self, gather: Gather, error: Exception) -> None:
        gather.error = error
        gather.gathering.end("cancelled")
        self._end(gather)

    def _end(self, gather: Gather) -> None:
        if gather is not self._current:
            return
        self._current = None
        gather.prompts = {}  # they may know the call, which keeps the last gather
        result = gather.gathering.result
        assert result is not None
        gather.ended.set()
        data = {"gather_id": gather.gather_id, "digits": result.digits, "status": result.status}
        self._publish("gather.ended", data if gather.error is None else data | {"error": str(gather.error)})
