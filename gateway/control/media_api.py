"""The media services of a running call over HTTP: the same as the methods of `Call`, in Telnyx's words.

Each route is an `Operation`, which knows its models, so that the OpenAPI document says what the code does.
"""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from aiohttp import web
from pydantic import ValidationError

from gateway.call import Call
from gateway.control.bodies import BodyError, call_control_id_of, read_body
from gateway.control.media_models import (
    AddSink,
    Cleared,
    DtmfRequest,
    GatherRequest,
    Gathers,
    GatherStarted,
    GatherState,
    Nothing,
    PlayOnTheWay,
    PlayRequest,
    Plays,
    PlayStarted,
    PlayStop,
    RecordingIds,
    Recordings,
    RecordingStarted,
    RecordRequest,
    SinkAdded,
    Sinks,
    SpeakRequest,
    Stop,
    Stopped,
    SuppressionRequest,
    SuppressionState,
    TheRecording,
    TranscriptionRequest,
    TranscriptionStarted,
)
from gateway.control.problems import problem
from gateway.errors import MediaServiceError, PlaybackError, SinkError, SpeechError
from gateway.protocol.commands.base import Model
from gateway.services.gather import GatherFields, gather_options
from gateway.services.gathers import Gather
from gateway.services.services import Prompt
from gateway.services.sounds import media_file
from gateway.sinks.recorder import RecordingOptions

__all__ = ["MEDIA_OPERATIONS", "Operation", "media_routes"]

FindCall: TypeAlias = Callable[[str], Call | None]
Request = TypeVar("Request", bound=Model)

_MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Operation(Generic[Request]):
    """One route.

    Attributes:
        method: Of HTTP.
        path: Behind `/calls/{call_control_id}`.
        request: Of the body; None: there is none.
        response: Of the answer.
        summary: In a few words.
        run: Does it. Gets the call, the body, and the parameters of the path.
        max_bytes: Of the body.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    request: type[Request] | None
    response: type[Model]
    summary: str
    run: Callable[[Call, Request, dict[str, str]], Awaitable[Model]]
    max_bytes: int = _MAX_BYTES


def media_routes(calls: FindCall, *, prefix: str = "") -> list[web.RouteDef]:
    """The routes of all operations.

    Args:
        calls: The call that runs, by its `call_control_id`; None if there is none.
        prefix: What stands before their paths; has `{call_control_id}` in it, or is put before something that has.
    """
    return [
        web.route(operation.method, prefix + operation.path, _handler(operation, calls), **_no_head(operation))
        for operation in MEDIA_OPERATIONS
    ]


def _no_head(operation: Operation[Any]) -> dict[str, Any]:
    return {"allow_head": False} if operation.method == "GET" else {}


def _handler(operation: Operation[Any], calls: FindCall) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        call_control_id = call_control_id_of(request)
        call = None if call_control_id is None else calls(call_control_id)
        if call is None or call.end_reason is not None:
            return problem(404, "there is no such call that runs on a media stream")
        try:
            body = await _body(request, operation)
            answer = await operation.run(call, body, dict(request.match_info))
        except ValidationError as error:
            return _invalid(error)
        except (BodyError, MediaServiceError) as error:
            return problem(error.status, str(error))
        except (SinkError, SpeechError) as error:
            return problem(422, str(error))
        except PlaybackError as error:
            return problem(409, str(error))
        return web.json_response(text=answer.model_dump_json())

    return handle


async def _body(request: web.Request, operation: Operation[Any]) -> Model:
    if operation.request is None:
        return Nothing()
    octets = await read_body(request, max_bytes=operation.max_bytes)
    model: Model = operation.request.model_validate_json(octets or b"{}")
    return model


def _invalid(error: ValidationError) -> web.Response:
    """What is wrong with a body, and where; none of what stood there."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return problem(400, "the body is no JSON")
    where = ((".".join(str(part) for part in found["loc"]), found["msg"]) for found in problems[:20])
    return problem(422, "; ".join(f"{name}: {message}" if name else message for name, message in where))


# --- play and speak ---------------------------------------------------------------------------------------------------


def _stop(call: Call, what: Stop | None) -> list[str]:
    playing = call.playing()
    if what == "all":
        call.clear()
    elif what == "current" and playing:
        playing[0].cancel()
    else:
        return []
    return [playback.name for playback in (playing if what == "all" else playing[:1])]


async def _play(call: Call, body: PlayRequest, path: dict[str, str]) -> PlayStarted:
    del path
    source: Any = body.audio_url
    if body.media_name is not None:
        source = media_file(call.services.options.media_dir, body.media_name)
    elif body.playback_content is not None:
        source = base64.b64decode(body.playback_content)
    _stop(call, body.stop)
    return PlayStarted(name=call.play(source, name=body.name, loop=body.loop).name)


async def _plays(call: Call, body: Nothing, path: dict[str, str]) -> Plays:
    del body, path
    return Plays(plays=[PlayOnTheWay(name=play.name, heard_ms=play.heard) for play in call.playing()])


async def _play_stop(call: Call, body: PlayStop, path: dict[str, str]) -> Stopped:
    del path
    return Stopped(stopped=_stop(call, body.stop))


async def _clear(call: Call, body: Nothing, path: dict[str, str]) -> Cleared:
    del body, path
    call.clear()
    return Cleared()


async def _pause(call: Call, body: Nothing, path: dict[str, str]) -> Nothing:
    del path
    call.pause()
    return body


async def _resume(call: Call, body: Nothing, path: dict[str, str]) -> Nothing:
    del path
    call.resume()
    return body


async def _send_dtmf(call: Call, body: DtmfRequest, path: dict[str, str]) -> PlayStarted:
    del path
    return PlayStarted(name=call.send_dtmf(body.digits, duration_ms=body.duration_millis).name)


async def _speak(call: Call, body: SpeakRequest, path: dict[str, str]) -> PlayStarted:
    del path
    if call.services.options.speech is not None:  # else nothing is stopped either
        _stop(call, body.stop)
    return PlayStarted(name=call.say(body.payload, voice=body.voice, language=body.language).name)


# --- gather -----------------------------------------------------------------------------------------------------------


async def _gather(call: Call, body: GatherRequest, path: dict[str, str]) -> GatherStarted:
    del path

    def prompt(text: str | None, audio_url: str | None, media_name: str | None) -> Prompt | None:
        if text is not None:
            return lambda: call.say(text, voice=body.voice, language=body.language)
        if media_name is not None:
            file = media_file(call.services.options.media_dir, media_name)
            return lambda: call.play(file)
        return audio_url

    first = prompt(body.payload, body.audio_url, body.media_name)
    invalid = prompt(body.invalid_payload, body.invalid_audio_url, body.invalid_media_name)
    fields = GatherFields(
        min_digits=body.minimum_digits,
        max_digits=body.maximum_digits,
        terminating_digit=body.terminating_digit,
        valid_digits=body.valid_digits,
        timeout=body.timeout_millis / 1000,
        inter_digit_timeout=body.inter_digit_timeout_millis / 1000,
    )
    if body.initial_timeout_millis is not None:
        fields["initial_timeout"] = body.initial_timeout_millis / 1000
    options = gather_options(prompted=first is not None, maximum_tries=body.maximum_tries, **fields)
    gather = call.services.gather(options, prompt=first, invalid_prompt=invalid, gather_id=body.gather_id)
    if gather.error is not None:
        raise gather.error
    return GatherStarted(gather_id=gather.gather_id)


def _state(gather: Gather) -> GatherState:
    result = gather.result
    return GatherState(
        gather_id=gather.gather_id,
        status="gathering" if result is None else result.status,
        digits=gather.gathering.digits if result is None else result.digits,
        tries=gather.gathering.tries,
    )


async def _gather_state(call: Call, body: Nothing, path: dict[str, str]) -> Gathers:
    del body, path
    last = call.services.gathers.last
    return Gathers(gather=None if last is None else _state(last))


async def _gather_stop(call: Call, body: Nothing, path: dict[str, str]) -> Gathers:
    call.gather_stop()
    return await _gather_state(call, body, path)


# --- recordings -------------------------------------------------------------------------------------------------------


async def _record(call: Call, body: RecordRequest, path: dict[str, str]) -> RecordingStarted:
    del path
    return RecordingStarted(recording_id=await call.record_start(RecordingOptions(**body.model_dump())))


async def _recordings(call: Call, body: Nothing, path: dict[str, str]) -> Recordings:
    del body, path
    return Recordings(recordings=call.services.recordings.describe())


async def _record_stop(call: Call, body: TheRecording, path: dict[str, str]) -> RecordingIds:
    del path
    return RecordingIds(recording_ids=call.record_stop(body.recording_id))


async def _record_pause(call: Call, body: TheRecording, path: dict[str, str]) -> RecordingIds:
    del path
    return RecordingIds(recording_ids=call.record_pause(body.recording_id))


async def _record_resume(call: Call, body: TheRecording, path: dict[str, str]) -> RecordingIds:
    del path
    return RecordingIds(recording_ids=call.record_resume(body.recording_id))


# --- sinks, transcription, noise --------------------------------------------------------------------------------------


async def _add_sink(call: Call, body: AddSink, path: dict[str, str]) -> SinkAdded:
    del path
    return SinkAdded(sink=call.add_sink(body.url, body.name))


async def _sinks(call: Call, body: Nothing, path: dict[str, str]) -> Sinks:
    del body, path
    return Sinks(sinks=call.report()["sinks"])


async def _remove_sink(call: Call, body: Nothing, path: dict[str, str]) -> SinkAdded:
    del body
    call.remove_sink(path["sink"])
    return SinkAdded(sink=path["sink"])


async def _transcribe(call: Call, body: TranscriptionRequest, path: dict[str, str]) -> TranscriptionStarted:
    del path
    return TranscriptionStarted(sink=call.transcription_start(body.transcriber))


async def _transcribe_stop(call: Call, body: Nothing, path: dict[str, str]) -> Nothing:
    del path
    call.transcription_stop()
    return body


async def _suppress(call: Call, body: SuppressionRequest, path: dict[str, str]) -> SuppressionState:
    del path
    call.suppression_start(level=body.level)
    return SuppressionState(suppressed=True)


async def _suppress_stop(call: Call, body: Nothing, path: dict[str, str]) -> SuppressionState:
    del body, path
    call.suppression_stop()
    return SuppressionState(suppressed=False)


MEDIA_OPERATIONS: Final[tuple[Operation[Any], ...]] = (
    Operation("POST", "/play", PlayRequest, PlayStarted, "Play a file behind what was said before", _play, 4 * 2**20),
    Operation("GET", "/plays", None, Plays, "What was said and is not over", _plays),
    Operation("POST", "/play/stop", PlayStop, Stopped, "Stop what plays", _play_stop),
    Operation("POST", "/clear", Nothing, Cleared, "Fall silent at once", _clear),
    Operation("POST", "/pause", Nothing, Nothing, "Fall silent, and keep what was not heard", _pause),
    Operation("POST", "/resume", Nothing, Nothing, "Go on after a pause", _resume),
    Operation("POST", "/send_dtmf", DtmfRequest, PlayStarted, "Press keys, as tones", _send_dtmf),
    Operation("POST", "/speak", SpeakRequest, PlayStarted, "Speak a text", _speak),
    Operation("POST", "/gather", GatherRequest, GatherStarted, "Collect keys", _gather),
    Operation("GET", "/gather", None, Gathers, "The present gather, or the last one", _gather_state),
    Operation("POST", "/gather/stop", Nothing, Gathers, "End the gather", _gather_stop),
    Operation("POST", "/record", RecordRequest, RecordingStarted, "Begin a recording", _record),
    Operation("GET", "/record", None, Recordings, "The recordings that were begun in the call", _recordings),
    Operation("POST", "/record/stop", TheRecording, RecordingIds, "End recordings", _record_stop),
    Operation("POST", "/record/pause", TheRecording, RecordingIds, "Record silence from now on", _record_pause),
    Operation("POST", "/record/resume", TheRecording, RecordingIds, "Record again", _record_resume),
    Operation("POST", "/sinks", AddSink, SinkAdded, "Add a sink", _add_sink),
    Operation("GET", "/sinks", None, Sinks, "The sinks of the call", _sinks),
    Operation("DELETE", "/sinks/{sink}", None, SinkAdded, "Remove a sink", _remove_sink),
    Operation("POST", "/transcribe", TranscriptionRequest, TranscriptionStarted, "Transcribe the call", _transcribe),
    Operation("POST", "/transcribe/stop", Nothing, Nothing, "Stop transcribing", _transcribe_stop),
    Operation(
        "POST", "/suppress_noise", SuppressionRequest, SuppressionState, "Suppress the caller's noise", _suppress
    ),
    Operation("POST", "/suppress_noise/stop", Nothing, SuppressionState, "Let noise through again", _suppress_stop),
)
"""All of them; the answers beside 200 are 400, 404, 408, 409, 413, 422 and 503, as problem details."""
