"""Events of a call's sound: led elsewhere, played, recorded, transcribed."""

from typing import Literal

from pydantic import Field

from gateway.protocol.events.base import BaseEvent, Model, Payload

__all__ = [
    "CallForkStarted",
    "CallForkStopped",
    "CallPlaybackEnded",
    "CallPlaybackStarted",
    "CallRecordingError",
    "CallRecordingSaved",
    "CallRecordingTranscriptionSaved",
    "CallSpeakEnded",
    "CallSpeakStarted",
    "CallTranscription",
    "SiprecFailed",
    "SiprecStarted",
    "SiprecStopped",
    "StreamingFailed",
    "StreamingStarted",
    "StreamingStopped",
]


class StreamingPayload(Payload):
    """Of `streaming.started` and `streaming.stopped`, which carry no `stream_id`."""

    stream_url: str | None = Field(None, repr=False)


class StreamingStarted(BaseEvent):
    """The media socket is open."""

    event_type: Literal["streaming.started"]
    payload: StreamingPayload = StreamingPayload()


class StreamingStopped(BaseEvent):
    """The media stream ended."""

    event_type: Literal["streaming.stopped"]
    payload: StreamingPayload = StreamingPayload()


class StreamParams(Model):
    """What the stream was to be; an older page calls the track `stream_track`."""

    stream_url: str | None = Field(None, repr=False)
    track: str | None = None


class StreamingFailedPayload(Payload):
    """Of `streaming.failed`."""

    failure_reason: str | None = None  # such as connection_failed
    stream_id: str | None = None
    stream_params: StreamParams | None = None
    stream_type: str | None = None  # websocket, dialogflow


class StreamingFailed(BaseEvent):
    """The media socket could not be opened, or fell."""

    event_type: Literal["streaming.failed"]
    payload: StreamingFailedPayload = StreamingFailedPayload()


class ForkPayload(Payload):
    """Of `call.fork.*`."""

    stream_type: str | None = None  # decrypted


class CallForkStarted(BaseEvent):
    """RTP packets are copied."""

    event_type: Literal["call.fork.started"]
    payload: ForkPayload = ForkPayload()


class CallForkStopped(BaseEvent):
    """RTP packets are copied no more."""

    event_type: Literal["call.fork.stopped"]
    payload: ForkPayload = ForkPayload()


class SiprecStarted(BaseEvent):
    """The recording server takes part."""

    event_type: Literal["siprec.started"]
    payload: Payload = Payload()


class SiprecStoppedPayload(Payload):
    """Of `siprec.stopped`."""

    hangup_cause: str | None = None


class SiprecStopped(BaseEvent):
    """The recording server has left."""

    event_type: Literal["siprec.stopped"]
    payload: SiprecStoppedPayload = SiprecStoppedPayload()


class SiprecFailedPayload(Payload):
    """Of `siprec.failed`."""

    failure_cause: str | None = None


class SiprecFailed(BaseEvent):
    """The recording server does not take part."""

    event_type: Literal["siprec.failed"]
    payload: SiprecFailedPayload = SiprecFailedPayload()


class PlaybackPayload(Payload):
    """Of `call.playback.*`; without URL and name where the content itself was sent."""

    media_url: str | None = None
    media_name: str | None = None
    overlay: bool | None = None


class CallPlaybackStarted(BaseEvent):
    """A file is played."""

    event_type: Literal["call.playback.started"]
    payload: PlaybackPayload = PlaybackPayload()


class PlaybackEndedPayload(PlaybackPayload):
    """Of `call.playback.ended`."""

    status: str | None = None  # completed, cancelled, cancelled_amd, call_hangup, file_not_found, failed, unknown
    status_detail: str | None = None


class CallPlaybackEnded(BaseEvent):
    """A file is played no more."""

    event_type: Literal["call.playback.ended"]
    payload: PlaybackEndedPayload = PlaybackEndedPayload()


class CallSpeakStarted(BaseEvent):
    """A text is spoken."""

    event_type: Literal["call.speak.started"]
    payload: Payload = Payload()


class SpeakEndedPayload(Payload):
    """Of `call.speak.ended`."""

    status: str | None = None  # completed, call_hangup, cancelled_amd


class CallSpeakEnded(BaseEvent):
    """A text is spoken no more."""

    event_type: Literal["call.speak.ended"]
    payload: SpeakEndedPayload = SpeakEndedPayload()


class RecordingUrls(Model):
    """Where the file can be had; null for the format that it has not."""

    mp3: str | None = Field(None, repr=False)
    wav: str | None = Field(None, repr=False)


class RecordingSavedPayload(Payload):
    """Of `call.recording.saved`, in whose schema there is no `call_control_id`; the times are ISO 8601."""

    channels: str | None = None  # single, dual
    recording_started_at: str | None = None
    recording_ended_at: str | None = None
    recording_urls: RecordingUrls | None = None  # for ten minutes
    public_recording_urls: RecordingUrls | None = None


class CallRecordingSaved(BaseEvent):
    """Telnyx's own recording can be fetched."""

    event_type: Literal["call.recording.saved"]
    payload: RecordingSavedPayload = RecordingSavedPayload()


class RecordingErrorPayload(Payload):
    """Of `call.recording.error`."""

    reason: str | None = None


class CallRecordingError(BaseEvent):
    """Telnyx's own recording is lost."""

    event_type: Literal["call.recording.error"]
    payload: RecordingErrorPayload = RecordingErrorPayload()


class RecordingTranscriptionPayload(Payload):
    """Of `call.recording.transcription.saved`."""

    calling_party_type: str | None = None  # pstn, sip
    recording_id: str | None = None
    recording_transcription_id: str | None = None
    status: str | None = None  # completed
    transcription_text: str | None = Field(None, repr=False)


class CallRecordingTranscriptionSaved(BaseEvent):
    """What was said in a recording."""

    event_type: Literal["call.recording.transcription.saved"]
    payload: RecordingTranscriptionPayload = RecordingTranscriptionPayload()


class TranscriptionData(Model):
    """What was said, or seems to be so far."""

    transcript: str | None = Field(None, repr=False)
    confidence: float | None = None  # 0 to 1
    is_final: bool | None = None
    transcription_track: str | None = None  # inbound, outbound; only of Telnyx's own engine by the schema


class TranscriptionPayload(Payload):
    """Of `call.transcription`."""

    transcription_data: TranscriptionData | None = None


class CallTranscription(BaseEvent):
    """Something was said."""

    event_type: Literal["call.transcription"]
    payload: TranscriptionPayload = TranscriptionPayload()
