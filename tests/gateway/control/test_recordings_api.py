from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from gateway.control import recordings_api
from gateway.control.recordings_api import RecordingsApi
from gateway.sinks.recorder.sidecar import write_sidecar

Client = TestClient[web.Request, web.Application]
SOUND = bytes(range(256)) * 4


def made(folder: Path, number: int, *, call: str = "v3:a", file: str = "recording.wav", sound: bytes = SOUND) -> str:
    """A recording as the recorder leaves it; its id."""
    name = f"20261120T1000{number:02}Z-{number:08x}"
    place = folder / name
    place.mkdir(parents=True)
    (place / "recording.wav").write_bytes(sound)
    write_sidecar(place, {"state": "final", "file": file, "call_control_id": call, "report": {"secret": "not listed"}})
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest_asyncio.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    app = web.Application()
    app.add_routes(RecordingsApi(folder).routes())
    async with TestClient(TestServer(app)) as client:
        yield client


async def listed(client: Client, query: str = "") -> dict[str, Any]:
    async with client.get(f"/recordings{query}") as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def test_before_anything_was_recorded_there_is_nothing(client: Client) -> None:
    assert await listed(client) == {"recordings": [], "next_cursor": None}


async def test_recordings_come_newest_first_and_page_by_page(client: Client, folder: Path) -> None:
    names = [made(folder, number) for number in range(7)]
    (folder / "lost+found").mkdir()
    (folder / "20261120T100099Z-0000000a").mkdir()  # just begun: no sidecar yet
    seen, query = [], "?limit=3"
    while True:
        page = await listed(client, query)
        seen += [recording["id"] for recording in page["recordings"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=3&cursor={page['next_cursor']}"
    assert seen == names[::-1]
    assert "report" not in page["recordings"][0]


async def test_the_recordings_of_one_call_are_found(client: Client, folder: Path) -> None:
    names = [made(folder, number, call=f"v3:{number % 2}") for number in range(6)]
    page = await listed(client, "?call_control_id=v3:1")
    assert [recording["id"] for recording in page["recordings"]] == names[1::2][::-1]
    assert (await listed(client, "?call_control_id=v3:nobody"))["recordings"] == []


async def test_one_request_looks_at_so_many_only_and_says_where_to_go_on(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings_api, "_MAX_LOOKED_AT", 2)
    wanted = made(folder, 0, call="v3:wanted")
    for number in range(1, 4):
        made(folder, number)
    page = await listed(client, "?call_control_id=v3:wanted")
    assert page["recordings"] == []
    page = await listed(client, f"?call_control_id=v3:wanted&cursor={page['next_cursor']}")
    assert [recording["id"] for recording in page["recordings"]] == [wanted]


@pytest.mark.parametrize(
    ("asked", "status", "octets"),
    [
        (None, 200, SOUND),
        ("bytes=0-9", 206, SOUND[:10]),
        ("bytes=1000-", 206, SOUND[1000:]),
        ("bytes=-24", 206, SOUND[-24:]),
        ("bytes=1024-", 416, None),
        ("bytes=x", 416, None),
    ],
)
async def test_sound_is_handed_out_whole_or_in_parts(
    client: Client, folder: Path, asked: str | None, status: int, octets: bytes | None
) -> None:
    name = made(folder, 1)
    async with client.get(f"/recordings/{name}", headers={} if asked is None else {"Range": asked}) as answer:
        assert answer.status == status
        if octets is not None:
            assert await answer.read() == octets
            assert (answer.headers["Content-Type"], answer.headers["Accept-Ranges"]) == ("audio/wav", "bytes")
            assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}-recording.wav"'


async def test_a_sealed_recording_stays_sealed(client: Client, folder: Path) -> None:
    name = made(folder, 1, file="recording.wav.sealed")
    (folder / name / "recording.wav.sealed").write_bytes(b"sealed")
    async with client.get(f"/recordings/{name}") as answer:
        assert (await answer.read(), answer.content_type) == (b"sealed", "application/octet-stream")


async def test_the_sidecar_is_shown_whole(client: Client, folder: Path) -> None:
    name = made(folder, 1)
    async with client.get(f"/recordings/{name}/sidecar") as answer:
        shown = await answer.json()
    assert (shown["id"], shown["state"], shown["report"]) == (name, "final", {"secret": "not listed"})


@pytest.mark.parametrize(
    "name",
    [
        "20261120T100009Z-00000009",
        "..%2fsecrets",
        "%2e%2e%2f20261120T100001Z-00000001",
        "20261120T100001Z-00000001%00",
        "20261120T100001Z-00000001%0a",
        "20261120T100001Z-00000001%2frecording.json",
        "20261120T100001Z-0000000%D9%A1",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("rest", ["", "/sidecar"])
async def test_an_id_that_is_none_of_ours_is_not_looked_for(client: Client, folder: Path, name: str, rest: str) -> None:
    made(folder, 1)
    (folder.parent / "secrets").write_text("secret")
    async with client.get(URL(f"/recordings/{name}{rest}", encoded=True)) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "file", ["../../secrets", "/etc/passwd", "..", ".", "", "link", "missing.wav", "a\x00b", 7, None]
)
async def test_a_sidecar_that_names_a_file_elsewhere_leads_nowhere(client: Client, folder: Path, file: Any) -> None:
    name = made(folder, 1, file=file)
    (folder.parent / "secrets").write_text("secret")
    (folder / name / "link").symlink_to(folder.parent / "secrets")
    async with client.get(f"/recordings/{name}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("query", ["?limit=0", "?cursor=x", "?limit=x"])
async def test_a_wrong_query_is_refused(client: Client, query: str) -> None:
    async with client.get(f"/recordings{query}") as answer:
        assert answer.status == 400
