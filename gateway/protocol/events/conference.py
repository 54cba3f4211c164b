"""Events of conferences, which come to the legs in them."""

from typing import Literal

from gateway.protocol.events.base import BaseEvent, Payload
from gateway.protocol.events.media import RecordingUrls

__all__ = [
    "ConferenceCreated",
    "ConferenceEnded",
    "ConferenceParticipantJoined",
    "ConferenceParticipantLeft",
    "ConferenceParticipantPlaybackEnded",
    "ConferenceParticipantPlaybackStarted",
    "ConferenceParticipantSpeakEnded",
    "ConferenceParticipantSpeakStarted",
    "ConferencePlaybackEnded",
    "ConferencePlaybackStarted",
    "ConferenceRecordingSaved",
    "ConferenceSpeakEnded",
    "ConferenceSpeakStarted",
]


class ConferencePayload(Payload):
    """Of every event of a conference."""

    conference_id: str | None = None


class ConferenceLifePayload(ConferencePayload):
    """Of its beginning and its end."""

    occurred_at: str | None = None
    reason: str | None = None  # of its end: all_left, host_left, time_exceeded


class ConferenceCreated(BaseEvent):
    """There is a conference."""

    event_type: Literal["conference.created"]
    payload: ConferenceLifePayload = ConferenceLifePayload()


class ConferenceEnded(BaseEvent):
    """There is no conference any more."""

    event_type: Literal["conference.ended"]
    payload: ConferenceLifePayload = ConferenceLifePayload()


class ConferenceParticipantJoined(BaseEvent):
    """The leg takes part."""

    event_type: Literal["conference.participant.joined"]
    payload: ConferencePayload = ConferencePayload()


class ConferenceParticipantLeft(BaseEvent):
    """The leg takes part no more."""

    event_type: Literal["conference.participant.left"]
    payload: ConferencePayload = ConferencePayload()


class ConferenceSpeakPayload(ConferencePayload):
    """Of what all or one of them are told."""

    creator_call_session_id: str | None = None
    occurred_at: str | None = None


class ConferencePlaybackPayload(ConferenceSpeakPayload):
    """Of what is played to all or one of them."""

    media_name: str | None = None
    media_url: str | None = None


class ConferencePlaybackStarted(BaseEvent):
    """A file is played to all."""

    event_type: Literal["conference.playback.started"]
    payload: ConferencePlaybackPayload = ConferencePlaybackPayload()


class ConferencePlaybackEnded(BaseEvent):
    """A file is played to all no more."""

    event_type: Literal["conference.playback.ended"]
    payload: ConferencePlaybackPayload = ConferencePlaybackPayload()


class ConferenceParticipantPlaybackStarted(BaseEvent):
    """A file is played to this leg."""

    event_type: Literal["conference.participant.playback.started"]
    payload: ConferencePlaybackPayload = ConferencePlaybackPayload()


class ConferenceParticipantPlaybackEnded(BaseEvent):
    """A file is played to this leg no more."""

    event_type: Literal["conference.participant.playback.ended"]
    payload: ConferencePlaybackPayload = ConferencePlaybackPayload()


class ConferenceSpeakStarted(BaseEvent):
    """A text is spoken to all."""

    event_type: Literal["conference.speak.started"]
    payload: ConferenceSpeakPayload = ConferenceSpeakPayload()


class ConferenceSpeakEnded(BaseEvent):
    """A text is spoken to all no more."""

    event_type: Literal["conference.speak.ended"]
    payload: ConferenceSpeakPayload = ConferenceSpeakPayload()


class ConferenceParticipantSpeakStarted(BaseEvent):
    """A text is spoken to this leg."""

    event_type: Literal["conference.participant.speak.started"]
    payload: ConferenceSpeakPayload = ConferenceSpeakPayload()


class ConferenceParticipantSpeakEnded(BaseEvent):
    """A text is spoken to this leg no more."""

    event_type: Literal["conference.participant.speak.ended"]
    payload: ConferenceSpeakPayload = ConferenceSpeakPayload()


class ConferenceRecordingPayload(ConferencePayload):
    """Of `conference.recording.saved`; the times are ISO 8601."""

    channels: str | None = None  # single, dual
    format: str | None = None  # wav, mp3
    recording_id: str | None = None
    recording_started_at: str | None = None
    recording_ended_at: str | None = None
    recording_urls: RecordingUrls | None = None
    public_recording_urls: RecordingUrls | None = None


class ConferenceRecordingSaved(BaseEvent):
    """The conference's recording can be fetched."""

    event_type: Literal["conference.recording.saved"]
    payload: ConferenceRecordingPayload = ConferenceRecordingPayload()
