"""What Telnyx does not document, or documents twice: each open point is a switch, and its default the likeliest."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Switches"]

_Seconds = Annotated[float, Field(ge=0, le=3600)]


class Switches(BaseModel):
    """How the simulator behaves where nobody knows how Telnyx does; `docs/simulator.md` says why.

    Attributes:
        unknown_call: The answer for a well-formed id that there is no call with: `404` with code 10005, or `422`
            with code 90015.
        repeated_command: A `command_id` that came a moment ago is answered as the first time (`same`), or refused
            with 422 (`refuse`).
        webhook_redirects: Whether a redirect counts as a webhook's failure (`fail`) or is followed, up to three
            times (`follow`).
        ping_interval: Seconds between pings on the media socket; 0 for none.
        idle_timeout: Seconds without a message from the application after which its socket is closed; 0 for never.
        close_code: Of the close frame behind `stop`.
        reconnects: How often a socket that fell is opened again.
        reconnect_delay: Seconds before each of these.
        reconnect_stream_id: Whether the new socket has the `same` stream id or a `new` one.
        timestamp: Unit of `media.timestamp`: `ms` since `start`, or `samples` of the announced rate.
        chunk_base: The number of the first chunk.
        chunk_scope: Whether chunks are counted for each `track` or over the whole `stream`.
        after_error: Whether the socket stays `open` after an `error` message.
        short_media: What becomes of a message of less than 20 ms: `refuse` (100004) or `play`.
        long_media: The same for one of more than 30 s.
        queue_seconds: How much sound may wait to be played; what is more gets 100005.
        rtp_messages: How many media messages a second mode `rtp` takes before 100005; 0 for any number.
        mp3_messages: The same for mode `mp3`; one a second is documented, the answer to more is not.
        mp3_garbage: What comes of octets that are no MP3 file in mode `mp3`: nothing (`silent`), or `error` 100004.
        answer_details: Whether `answer` knows `stream_bidirectional_sampling_rate`, `stream_auth_token` and
            `custom_parameters`, which its schema does not have (`take` or `ignore`).
        default_codec: What `stream_codec=default` sends: the `leg`'s codec, or, where that is no G.711, the one that
            was asked for the other direction (`bidirectional`).
        sampling_rate: Whether `stream_bidirectional_sampling_rate` counts for what the application is sent too
            (`both`), or only for what it sends (`bidirectional`).
        l16_byte_order: Of L16 on the socket, both ways.
        amr_wb: Layout of AMR-WB payloads: bandwidth `efficient` or octet-`aligned`.
        g722_rate: What `media_format.sample_rate` says of G722: its RTP clock or its sound.
        opposite_alone: Whether a lone leg hears sound for the `opposite` leg (`heard` or `silent`).
        fork_while_streaming: Whether `fork_start` takes the place of a media stream (`replace`) or is refused with
            90045 (`refuse`).
        fork_stop_type: Whether `stream_type` of `fork_stop` must be that of the fork (`match`) or may be `any`.
        second_stream: Whether a second `streaming_start` is refused with 90045 or takes the first one's place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown_call: Literal["404", "422"] = "404"
    repeated_command: Literal["same", "refuse"] = "same"
    webhook_redirects: Literal["fail", "follow"] = "fail"
    ping_interval: _Seconds = 0.0
    idle_timeout: _Seconds = 0.0
    close_code: Annotated[int, Field(ge=1000, le=4999)] = 1000
    reconnects: Annotated[int, Field(ge=0, le=100)] = 0
    reconnect_delay: _Seconds = 1.0
    reconnect_stream_id: Literal["same", "new"] = "same"
    timestamp: Literal["ms", "samples"] = "ms"
    chunk_base: Annotated[int, Field(ge=0, le=1)] = 1
    chunk_scope: Literal["track", "stream"] = "track"
    after_error: Literal["open", "close"] = "open"
    short_media: Literal["refuse", "play"] = "refuse"
    long_media: Literal["refuse", "play"] = "refuse"
    queue_seconds: Annotated[int, Field(ge=1, le=3600)] = 600
    rtp_messages: Annotated[int, Field(ge=0)] = 0
    mp3_messages: Annotated[int, Field(ge=0)] = 1
    mp3_garbage: Literal["silent", "error"] = "silent"
    answer_details: Literal["ignore", "take"] = "ignore"
    default_codec: Literal["leg", "bidirectional"] = "leg"
    sampling_rate: Literal["both", "bidirectional"] = "both"
    l16_byte_order: Literal["little", "big"] = "little"
    amr_wb: Literal["efficient", "aligned"] = "efficient"
    g722_rate: Literal["8000", "16000"] = "8000"
    opposite_alone: Literal["heard", "silent"] = "heard"
    fork_while_streaming: Literal["replace", "refuse"] = "replace"
    fork_stop_type: Literal["match", "any"] = "match"
    second_stream: Literal["refuse", "replace"] = "refuse"
