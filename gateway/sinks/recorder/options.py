"""What can be asked of one recording; the names and meanings are those of Telnyx's `record_start`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["RecordingOptions"]


class RecordingOptions(BaseModel):
    """How one recording is made.

    Where Telnyx has the same field, it means the same here: `inbound` is what the person on the leg says, `outbound`
    what that person hears. `flac`, `opus` and `encoding` are ours.

    Attributes:
        channels: `dual` has the caller left and the application right; `single` has both in one channel.
        format: All but `wav` are made after the end, from a WAV of 16 bits, and want the extra `codecs`.
        encoding: Of a WAV. `g711` keeps the octets of a G.711 stream as they came, in half the room; a stream that is
            not G.711 is kept as `linear16`.
        recording_track: One track alone makes a file of one channel.
        max_length: Seconds after which the recording ends by itself; 0 is never.
        timeout_secs: Seconds of silence after which it does, once somebody has spoken; 0 is never.
        trim: `trim-silence` takes the silence before the first and behind the last sound away, after the end.
        play_beep: Whether the person on the leg hears a tone as the recording begins. Played by who starts the
            recording, see `beep`.
        custom_file_name: Instead of `recording`; the time of the beginning in Unix seconds follows it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal["single", "dual"] = "dual"
    format: Literal["wav", "flac", "opus", "mp3"] = "wav"
    encoding: Literal["linear16", "linear8", "g711"] = "linear16"
    recording_track: Literal["both", "inbound", "outbound"] = "both"
    max_length: int = Field(0, ge=0, le=14_400)
    timeout_secs: int = Field(0, ge=0)
    trim: Literal["trim-silence"] | None = None
    play_beep: bool = False
    # It becomes a file's name: no separators, and no dot in front.
    custom_file_name: str | None = Field(None, min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")

    def file_stem(self, started_at: float) -> str:
        """The file's name without its ending.

        Args:
            started_at: Unix time of the recording's beginning.
        """
        return "recording" if self.custom_file_name is None else f"{self.custom_file_name}-{int(started_at)}"
