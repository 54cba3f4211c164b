"""What the agent `realtime` may be told, and the session that follows from it."""

from typing import Any, Literal

from pydantic import Field

from gateway.agents.options import AgentOptions
from gateway.agents.tools import Toolbox

__all__ = ["RealtimeOptions", "SoundFormat", "session_update"]

SoundFormat = Literal["audio/pcmu", "audio/pcma", "audio/pcm"]


class RealtimeOptions(AgentOptions):
    """The options, named as OpenAI names them where it does.

    Attributes:
        url: Where the API is.
        model: Which model answers.
        api_key_variable: The environment variable with the key.
        instructions: What the model is told about its task.
        greeting: What the model is told to say first, such as `Greet the caller by asking how you can help.`; it
            waits for the caller if unset.
        voice: The model's.
        speed: Of its speech, 0.25 to 1.5.
        turn_detection: How the server finds out that the caller speaks, and has finished.
        threshold: Of `server_vad`, 0 to 1.
        prefix_padding_ms: Of `server_vad`.
        silence_duration_ms: Of `server_vad`.
        eagerness: Of `semantic_vad`.
        noise_reduction: For what the caller says.
        transcription: The model that writes down what the caller says; nothing is written down if unset.
        language: Of the caller, ISO 639-1, for the transcription.
        max_output_tokens: Of one response.
        tools: Which of the gateway's tools the model may use.
        transfer_to: Where it may transfer the caller to: numbers or SIP addresses by their names.
        reconnect_seconds: How long the gateway tries to reach the API when the connection is lost.
    """

    url: str = "wss://api.openai.com/v1/realtime"
    model: str = Field("gpt-realtime", min_length=1)
    api_key_variable: str = "OPENAI_API_KEY"
    instructions: str | None = None
    greeting: str | None = None
    voice: str | None = None
    speed: float | None = Field(None, ge=0.25, le=1.5)
    turn_detection: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float | None = Field(None, ge=0, le=1)
    prefix_padding_ms: int | None = Field(None, ge=0)
    silence_duration_ms: int | None = Field(None, ge=0)
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    noise_reduction: Literal["near_field", "far_field"] | None = None
    transcription: str | None = None
    language: str | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=4096)
    tools: tuple[str, ...] = ("hangup",)
    transfer_to: dict[str, str] = Field(default_factory=dict)
    reconnect_seconds: float = Field(10.0, ge=0, le=600)


def session_update(
    options: RealtimeOptions, toolbox: Toolbox, *, hears: SoundFormat, speaks: SoundFormat
) -> dict[str, Any]:
    """The `session.update` that a connection begins with; what the options leave open is the server's to choose."""
    detection = {"type": options.turn_detection, "create_response": True, "interrupt_response": True}
    if options.turn_detection == "server_vad":
        detection |= _given(
            threshold=options.threshold,
            prefix_padding_ms=options.prefix_padding_ms,
            silence_duration_ms=options.silence_duration_ms,
        )
    else:
        detection |= _given(eagerness=options.eagerness)
    hearing: dict[str, Any] = {"format": _format(hears), "turn_detection": detection}
    if options.transcription is not None:
        hearing["transcription"] = {"model": options.transcription} | _given(language=options.language)
    if options.noise_reduction is not None:
        hearing["noise_reduction"] = {"type": options.noise_reduction}
    speaking = {"format": _format(speaks)} | _given(voice=options.voice, speed=options.speed)
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {"input": hearing, "output": speaking},
        "tools": toolbox.for_realtime(),
    }
    session |= _given(instructions=options.instructions, max_output_tokens=options.max_output_tokens)
    return {"type": "session.update", "session": session}


def _format(name: SoundFormat) -> dict[str, Any]:
    return {"type": name, "rate": 24_000} if name == "audio/pcm" else {"type": name}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
