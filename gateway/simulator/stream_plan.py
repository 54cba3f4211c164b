"""What a command asks of its media stream, made definite: every default filled in, every switch thrown."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import ValidationError

from audio_codecs import Codec, CodecError, Wire, open_codec
from gateway.protocol.commands import StreamingStart, refusals
from gateway.protocol.commands.options import StreamDetails, StreamOptions
from gateway.protocol.messages import Track
from gateway.simulator.refusal import Refusal
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.switches import Switches

__all__ = ["LEG_ENCODING", "StreamPlan", "TargetLegs", "plan_stream"]

LEG_ENCODING: Final = "PCMU"
"""What every leg is in."""

TargetLegs: TypeAlias = Literal["self", "opposite", "both"]

_FIXED_RATE: Final = ("PCMU", "PCMA", "G722")
_TRACKS: Final[dict[str, tuple[Track, ...]]] = {
    "inbound_track": ("inbound",),
    "outbound_track": ("outbound",),
    "both_tracks": ("inbound", "outbound"),
}


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream.

    Attributes:
        track: As the command says it.
        encoding: Of what the application is sent.
        heard_encoding: Of what it sends; None in mode `mp3`, where each message is a file.
        token: For the header and `connected`.
        custom_parameters: For `start`.
        clock_rate: Of `encoding`, as `start` announces it, in Hz.
        heard_clock_rate: Of `heard_encoding`, in Hz.
        target_legs: Who hears what the application sends.
        wire: What no message tells: byte order and layout, as the switches have them.
    """

    url: str
    track: str
    encoding: str
    heard_encoding: str | None
    token: str | None = None
    custom_parameters: dict[str, str] | None = None
    clock_rate: int = SAMPLE_RATE
    heard_clock_rate: int = SAMPLE_RATE
    target_legs: TargetLegs = "opposite"
    byte_order: Literal["little", "big"] = "little"
    octet_aligned: bool = False

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Whose sound is sent, each in messages of its own."""
        return _TRACKS[self.track]

    def open_encoder(self, *, swapped: bool = False) -> Codec:
        """The codec of one track that is sent; `swapped` takes L16 in the other byte order."""
        return open_codec(self.encoding, self.clock_rate, wire=self._wire(swapped=swapped), to_send=True)

    def open_decoder(self, *, swapped: bool = False) -> Codec | None:
        """The codec of what the application sends; None in mode `mp3`."""
        if self.heard_encoding is None:
            return None
        return open_codec(self.heard_encoding, self.heard_clock_rate, wire=self._wire(swapped=swapped))

    def _wire(self, *, swapped: bool) -> Wire:
        other: Literal["little", "big"] = "big" if self.byte_order == "little" else "little"
        return Wire(other if swapped else self.byte_order, octet_aligned=self.octet_aligned)


def plan_stream(command: StreamOptions, switches: Switches | None = None) -> StreamPlan | None:
    """Read the stream's fields.

    Returns:
        None where `dial` or `answer` asks for no stream.

    Raises:
        Refusal: 422, a field is wrong, or there is no such codec at such a rate here.
    """
    switches = switches or Switches()
    if command.stream_url is None:
        if not isinstance(command, StreamingStart):
            return None
        raise Refusal(422, "10004", "stream_url is required here: there is no Dialogflow.", pointer="/stream_url")
    rate, token, parameters = _details(command, switches)
    heard = command.stream_bidirectional_codec if command.stream_bidirectional_mode == "rtp" else None
    encoding = command.stream_codec
    if encoding == "default":
        follows = switches.default_codec == "bidirectional" and heard not in (None, "PCMU", "PCMA")
        encoding = heard if follows and heard is not None else LEG_ENCODING
    plan = StreamPlan(
        url=command.stream_url,
        track=command.stream_track,
        encoding=encoding,
        heard_encoding=heard,
        token=token,
        custom_parameters=parameters or None,
        clock_rate=_clock_rate(encoding, rate if switches.sampling_rate == "both" else SAMPLE_RATE, switches),
        heard_clock_rate=_clock_rate(heard or LEG_ENCODING, rate, switches),
        target_legs=command.stream_bidirectional_target_legs,
        byte_order=switches.l16_byte_order,
        octet_aligned=switches.amr_wb == "aligned",
    )
    for field, open_it in (
        ("stream_codec", plan.open_encoder),
        ("stream_bidirectional_codec", plan.open_decoder),
    ):
        try:
            open_it()
        except CodecError as error:
            raise Refusal(422, "10032", str(error), pointer=f"/{field}") from error
    return plan


def _details(command: StreamOptions, switches: Switches) -> tuple[int, str | None, dict[str, str]]:
    """The rate, the token and the parameters; `answer` knows none of them, as far as is documented."""
    details: Any = command
    if not isinstance(command, StreamDetails):
        if switches.answer_details == "ignore" or not command.model_extra:
            return SAMPLE_RATE, None, {}
        known = {name: value for name, value in command.model_extra.items() if name in StreamingStart.model_fields}
        try:
            details = StreamingStart.model_validate(known)
        except ValidationError as error:
            raise Refusal.of_errors(refusals(error)) from error
    token = details.stream_auth_token
    if token is not None and not (token.isascii() and token.isprintable()):
        detail = "stream_auth_token must be printable ASCII: it travels in a header."
        raise Refusal(422, "10027", detail, pointer="/stream_auth_token")
    pairs = getattr(details, "custom_parameters", None) or ()
    return details.stream_bidirectional_sampling_rate, token, {pair.name: pair.value for pair in pairs}


def _clock_rate(encoding: str, rate: int, switches: Switches) -> int:
    """Codecs with one rate have that one, whatever is asked for."""
    if encoding == "G722":
        return int(switches.g722_rate)
    return SAMPLE_RATE if encoding in _FIXED_RATE else rate
