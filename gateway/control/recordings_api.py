"""`/v1/recordings`: what lies in the folder of recordings, to be listed and heard.

A recording is named as its folder, by an id of the gateway's own making; what looks otherwise is not looked for. The
sound is handed out as it lies there: a sealed recording stays sealed, and is for `telnyx-gateway unseal`. What was
deleted here and is kept in the object store only is not found.
"""

import asyncio
import re
import stat
from bisect import bisect_left
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from gateway.control.pagination import Page, Place, QueryError, page_of
from gateway.control.problems import problem
from gateway.sinks.recorder.sidecar import read_sidecar

__all__ = ["RecordingsApi"]

_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", re.ASCII)
_FILE: Final = re.compile(r"[^/\\\x00]{1,255}")
_CONTENT_TYPES: Final = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
}
_MAX_LOOKED_AT: Final = 2000
"""Recordings that one request looks at; where few of them are the call's, its page is short and names the next."""

_SHOWN: Final = (
    "state",
    "complete",
    "file",
    "bytes",
    "sha256",
    "call_control_id",
    "stream_id",
    "call_session_id",
    "started_at",
    "duration",
    "channels",
    "encoding",
    "sample_rate",
    "ended",
    "problems",
    "stored",
)


class RecordingsApi:
    """The routes of recordings.

    Args:
        folder: Where recordings lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        """For a router whose paths begin behind `/v1`."""
        return [
            web.get("/recordings", self.list),
            web.get("/recordings/{id:[^/]+}", self.sound),
            web.get("/recordings/{id:[^/]+}/sidecar", self.sidecar),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """A page of the recordings, newest first; those of one call by `?call_control_id=`."""
        try:
            page = page_of(request)
        except QueryError as error:
            return problem(400, str(error))
        found = await _in_thread(partial(_list, self._folder, page, request.query.get("call_control_id")))
        shown, last = found
        return web.json_response({"recordings": shown, "next_cursor": None if last is None else last.cursor()})

    async def sidecar(self, request: web.Request) -> web.Response:
        """All that is known of a recording but its sound."""
        folder = self._find(request)
        values = {} if folder is None else await _in_thread(partial(_read, folder))
        if folder is None or not values:
            return problem(404, "no such recording")
        return web.json_response({"id": folder.name, **values})

    async def sound(self, request: web.Request) -> web.StreamResponse:
        """The sound file, or parts of it by `Range`."""
        folder = self._find(request)
        path = None if folder is None else await _in_thread(partial(_sound_of, folder))
        if folder is None or path is None:
            return problem(404, "no such recording, or its sound is not here")
        kind = _CONTENT_TYPES.get(path.suffix, "application/octet-stream")
        # The name is ours or an operator's; what a header cannot hold is left out.
        name = re.sub(r"[^ !#-\[\]-~]", "_", path.name)
        headers = {
            "Content-Type": kind,
            "Content-Disposition": f'attachment; filename="{folder.name}-{name}"',
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(path, chunk_size=65_536, headers=headers)

    def _find(self, request: web.Request) -> Path | None:
        name = request.match_info["id"]
        return self._folder / name if _ID.fullmatch(name) else None


async def _in_thread(work: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)


def _list(folder: Path, page: Page, call_control_id: str | None) -> tuple[list[dict[str, Any]], Place | None]:
    """A page, and the place of its last recording where there are more."""
    try:
        names = sorted(path.name for path in folder.iterdir() if _ID.fullmatch(path.name))
    except OSError:
        names = []  # nothing was recorded yet
    end = len(names) if page.after is None else bisect_left(names, page.after.id)
    shown: list[dict[str, Any]] = []
    last = ""
    for looked_at, name in enumerate(reversed(names[:end])):
        if len(shown) == page.limit or looked_at == _MAX_LOOKED_AT:
            return shown, Place(_time_of(last), last)
        last = name
        values = _read(folder / name)
        if values and call_control_id in (None, values.get("call_control_id")):
            shown.append({"id": name} | {key: values.get(key) for key in _SHOWN})
    return shown, None


def _time_of(name: str) -> float:
    try:
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _read(folder: Path) -> dict[str, Any]:
    try:
        return read_sidecar(folder)
    except OSError:
        return {}


def _sound_of(folder: Path) -> Path | None:
    """The sound file, as its sidecar names it: a file in that very folder, and no link to elsewhere."""
    name = _read(folder).get("file")
    if not isinstance(name, str) or not _FILE.fullmatch(name) or name in (".", ".."):
        return None
    path = folder / name
    try:
        there = stat.S_ISREG(path.lstat().st_mode) and not folder.is_symlink()
    except (OSError, ValueError):
        return None
    return path if there else None
