"""The agent that is a speech-to-speech model: the call's sound goes to it as it comes, and what it says is played.

The model's service finds out by itself that the caller speaks, and stops; what it had said by then is taken back here,
and it is told how much of it was heard, so that it does not believe that the rest was. Sessions end after an hour, and
connections before that: then the next session is told in words what was said so far.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.agents.base import Agent, AgentFactory, CallSetup
from gateway.agents.connection import Connector, check_url
from gateway.agents.options import AgentConfig
from gateway.agents.realtime.conversation import Conversation
from gateway.agents.realtime.events import encode
from gateway.agents.realtime.options import RealtimeOptions, session_update
from gateway.agents.realtime.session import Session, SessionLostError
from gateway.agents.realtime.sound import Sound
from gateway.agents.realtime.voice import Voice
from gateway.agents.tools import Toolbox, call_tools
from gateway.call import Call
from gateway.errors import ConfigError
from gateway.items import CallItem

__all__ = ["RealtimeAgent"]

_PREPARE_TIMEOUT: Final = 10.0


class RealtimeAgent(Agent):
    """One call answered by one model.

    Args:
        options: See there.
        key: Of the API.
        toolbox: What the model may do.
        config: The log's source.
    """

    def __init__(self, options: RealtimeOptions, key: str, toolbox: Toolbox, config: AgentConfig) -> None:
        query = "&" if "?" in options.url else "?"
        url = f"{options.url}{query}model={quote(options.model, safe='')}"
        self._connector = Connector(
            url, {"Authorization": f"Bearer {key}"}, patience=options.reconnect_seconds, log=config.log
        )
        self._options = options
        self._toolbox = toolbox
        self._warm: ClientConnection | None = None

    @classmethod
    def configure(cls, config: AgentConfig) -> AgentFactory:
        """Read the options; what comes back makes an agent for each call.

        Raises:
            ConfigError: An option is wrong, or there is no key.
        """
        options = config.read(RealtimeOptions)
        check_url(options.url)
        key = config.key(options.api_key_variable)
        if key is None or not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{options.api_key_variable}: the agent realtime needs a key of the API")
        try:
            toolbox = Toolbox(call_tools(options.tools, transfer_to=options.transfer_to))
        except ValueError as error:
            raise ConfigError(f"GATEWAY_AGENT_OPTIONS: tools: {error}") from error
        return lambda: cls(options, key, toolbox, config)

    async def prepare(self, setup: CallSetup) -> None:
        """Connect, so that the model is there when the sound comes."""
        del setup
        with suppress(TimeoutError):  # then it is tried again with the sound
            async with asyncio.timeout(_PREPARE_TIMEOUT):
                self._warm = await self._connector.open()

    async def run(self, call: Call) -> None:
        """Let the model talk with the caller until the call ends, or the model has given it away."""
        items: AsyncIterator[CallItem] = aiter(call)
        sound = Sound(call.info)
        conversation = Conversation(8 if sound.hears in ("audio/pcmu", "audio/pcma") else 48)
        update = session_update(self._options, self._toolbox, hears=sound.hears, speaks=sound.speaks)
        first = [encode(**update)]
        if self._options.greeting is not None:
            first.append(encode(type="response.create", response={"instructions": self._options.greeting}))
        connection, self._warm = self._warm, None
        beginning = first
        while True:
            if connection is None:
                connection = await self._connector.open()
            voice = Voice(call, sound.said_rate)
            try:
                async with connection:
                    session = Session(call, connection, sound, voice, self._toolbox, conversation)
                    await session.run(items, beginning)
                    return
            except (ConnectionClosed, TimeoutError, SessionLostError) as error:
                reason = str(error) or type(error).__name__
            finally:
                voice.end_all()
            connection = None
            self._connector.lost(reason)
            call.publish("agent.reconnecting", {"reason": reason[:200]})
            beginning = [*(first[:1] if conversation.begun else first), *conversation.retell()]

    async def close(self) -> None:
        """Let go of a connection that no call came for."""
        if self._warm is not None:
            await self._warm.close()
