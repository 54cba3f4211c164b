"""Leads a caller through menus: a prompt, a key, what follows from it."""

import asyncio
from pathlib import Path
from typing import Final

from gateway.agents.base import Agent, AgentFactory
from gateway.agents.ivr.menus import Action, Menu, Menus, Prompt, load_menus
from gateway.agents.options import AgentConfig, AgentOptions
from gateway.agents.recording import record_until
from gateway.call import Call
from gateway.errors import ControlError, GatewayError
from gateway.playback import Playback

__all__ = ["Ivr", "IvrOptions"]

_MAX_PROMPT: Final = 600.0  # seconds


class IvrOptions(AgentOptions):
    """What `ivr` may be told.

    Attributes:
        file: The TOML file with the menus.
    """

    file: Path


class Ivr(Agent):
    """One call in the menus.

    Args:
        menus: All of them.
    """

    def __init__(self, menus: Menus) -> None:
        self._menus = menus

    @classmethod
    def configure(cls, config: AgentConfig) -> AgentFactory:
        """Read the menus; what comes back makes an agent for each call.

        Raises:
            ConfigError: The file is wrong.
        """
        menus = load_menus(config.read(IvrOptions).file, speaks=config.speech is not None)
        return lambda: cls(menus)

    async def run(self, call: Call) -> None:
        """Go from menu to menu until the caller is somewhere else, or gone."""
        name = self._menus.start
        for _ in range(self._menus.steps):
            call.publish("ivr.menu", {"menu": name})
            menu = self._menus.menus[name]
            action = await self._ask(call, menu)
            if action is None:
                return
            following = await self._act(call, name, action)
            if following is None or call.end_reason is not None:
                return
            name = following
        call.log.warning("caller went through too many menus", steps=self._menus.steps)
        await call.hangup()

    async def _ask(self, call: Call, menu: Menu) -> Action | None:
        """What the caller has chosen, or what follows where nothing was; None where the caller is gone."""
        before: Prompt | None = None
        for _ in range(menu.tries):
            if before is not None:
                await self._tell(call, before)
            gathered = await call.gather(
                prompt=lambda: _begin(call, menu.prompt),
                maximum_tries=1,
                max_digits=1,
                terminating_digit="",
                initial_timeout=menu.timeout,
                timeout=_MAX_PROMPT,
            )
            if gathered.status in ("call_hangup", "cancelled") or call.end_reason is not None:
                return None
            if gathered.digits in menu.keys:
                return menu.keys[gathered.digits]
            before = menu.invalid if gathered.digits else menu.silent
        return menu.failed

    async def _act(self, call: Call, name: str, action: Action) -> str | None:
        """Do it; returns the next menu, if there is one."""
        if action.prompt is not None:
            await self._tell(call, action.prompt)
        if action.menu is not None or action.repeat:
            return action.menu or name
        if action.record is not None:
            await record_until(call, seconds=action.record, silence=action.silence, keys=True)
            if action.then is not None:
                return action.then
        if action.transfer is not None:
            try:
                await call.transfer(action.transfer)
            except ControlError as error:
                call.log.warning("transfer failed", status=error.status, code=error.code)
                if action.then is not None:
                    return action.then
            else:
                return None
        if call.end_reason is None:
            await call.hangup()
        return None

    async def _tell(self, call: Call, prompt: Prompt) -> None:
        """Let the caller hear something; what cannot be heard keeps nobody from going on."""
        try:
            async with asyncio.timeout(_MAX_PROMPT):
                await _begin(call, prompt)
        except (GatewayError, TimeoutError) as error:
            call.log.warning("prompt failed", error=f"{type(error).__name__}: {error}"[:300])


def _begin(call: Call, prompt: Prompt) -> Playback:
    if prompt.say is not None:
        return call.say(prompt.say, voice=prompt.voice, language=prompt.language)
    assert prompt.play is not None
    return call.play(prompt.play, name=prompt.play.name)
