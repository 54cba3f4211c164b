"""The options of the pipeline agent, as GATEWAY_AGENT_OPTIONS or the table `[agent_options]` has them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.agents.options import AgentOptions
from gateway.agents.pipeline.chat import OPENAI_URL

__all__ = ["PipelineOptions"]

_Seconds = Annotated[float, Field(gt=0, le=600)]


class PipelineOptions(AgentOptions):
    """See docs/agents.md; times are seconds.

    Attributes:
        model: Of the chat endpoint.
        base_url: Of the chat endpoint, up to `/v1`; its key is OPENAI_API_KEY.
        request: Further fields of each request, such as `temperature`.
        instructions: What the model is told first.
        greeting: What the agent says first; None lets the caller begin.
        transcriber: Which one, as GATEWAY_SINKS would name it; GATEWAY_TRANSCRIBER if None.
        speech: Which speech service; GATEWAY_SPEECH if None.
        vad: Which detector of speech.
        tools: What the model may do.
        transfer_to: Where it may transfer to: numbers or SIP addresses, by the names that it knows them by.
        end_of_turn: Silence after which the caller has finished.
        interrupt_after: How long the caller has to speak over the agent to interrupt it; it is paused until that is
            clear, which takes a quarter of a second more. Words interrupt at once.
        longest_turn: Of a caller who does not stop.
        transcript_timeout: How long to wait for the last words of a turn.
        chat_timeout: Until the endpoint's answer begins.
        stall_timeout: That the answer, or its speech, may stand still.
        apology: What is said when an answer fails; None says nothing.
        failures: So many answers in a row that fail end the agent.
    """

    model: str = Field(min_length=1)
    base_url: str = Field(OPENAI_URL, pattern=r"^https?://")
    request: dict[str, Any] = Field(default_factory=dict)
    instructions: str = (
        "You are on the telephone. Answer in one or two short sentences of plain spoken language, "
        "without lists, symbols or formatting."
    )
    greeting: str | None = None
    transcriber: str | None = None
    speech: str | None = None
    vad: str = "auto"
    tools: tuple[Literal["hangup", "transfer", "send_dtmf"], ...] = ()
    transfer_to: dict[str, str] = Field(default_factory=dict)
    end_of_turn: float = Field(0.7, ge=0.3, le=10)
    interrupt_after: float = Field(0.5, ge=0.1, le=10)
    longest_turn: _Seconds = 60.0
    transcript_timeout: _Seconds = 1.5
    chat_timeout: _Seconds = 15.0
    stall_timeout: _Seconds = 10.0
    apology: str | None = "Sorry, something went wrong. Could you say that again?"
    failures: int = Field(3, ge=1)
