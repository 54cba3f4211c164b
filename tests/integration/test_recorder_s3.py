"""Recordings in an object store: S3 over real HTTP, with a server that fails and a gateway that is restarted."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from gateway.config import Settings
from gateway.errors import StoreError
from gateway.media.frame import AudioFrame
from gateway.recordings import open_recorder
from gateway.sinks.base import SinkFactory
from gateway.sinks.recorder.upload import MARKER
from gateway.sinks.url import SinkConfig
from gateway.store.objects import ObjectStore
from tests.gateway.sinks.recorder.recordings import noise, sidecar, stream_info

from_url = pytest.importorskip("obstore.store").from_url
moto_server = pytest.importorskip("moto.server")

BUCKET = "recordings"


class Road:
    """The way to S3: it can break. Counts what came along, by method."""

    def __init__(self, s3: str) -> None:
        self.s3 = s3
        self.fail = 0  # so many requests
        self.blocked = False
        self.requests: list[tuple[str, int]] = []
        self.waiting = asyncio.Event()

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.blocked:
            self.waiting.set()
            await asyncio.Event().wait()
        if self.fail:
            self.fail -= 1
            self.requests.append((request.method, 500))
            return web.Response(status=500, text="<Error><Code>InternalError</Code></Error>")
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        url = self.s3 + request.raw_path
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, data=BytesIO(body), headers=headers, allow_redirects=False) as answer,
        ):
            self.requests.append((request.method, answer.status))
            kept = {
                name: answer.headers[name]
                for name in ("ETag", "Content-Type", "Last-Modified")
                if name in answer.headers
            }
            if request.method == "HEAD":
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A server that speaks S3."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def road(s3: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Road]:
    async with aiohttp.ClientSession() as session, session.post(f"{s3}/moto-api/reset"), session.put(f"{s3}/{BUCKET}"):
        pass  # answered, and let go: what the collector finds open it tells of in whichever test runs then
    road = Road(s3)
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{tail:.*}", road.pass_on)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        yield road
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(data_dir: Path) -> AsyncIterator[SinkFactory]:
    """What a gateway has of recordings."""
    settings = Settings(data_dir=data_dir, recordings_url=f"s3://{BUCKET}/calls")
    config = SinkConfig(path="", options={}, data_dir=data_dir, log=structlog.get_logger())
    async with asyncio.timeout(20), open_recorder(config, settings) as factory:
        yield factory


async def record(factory: SinkFactory, data_dir: Path, *, seconds: float = 1.0) -> Path:
    before = set((data_dir / "recordings").glob("*"))
    async with factory(stream_info()) as sink:
        samples = noise(round(seconds * 8000))
        for at in range(0, len(samples), 160):
            sink.write(AudioFrame("inbound", samples[at : at + 160], 8000, at))
    (folder,) = set((data_dir / "recordings").glob("*")) - before
    return folder


async def stored(folder: Path) -> dict[str, Any]:
    """Wait until nothing is left to do; the sidecar."""
    while (folder / MARKER).exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    return sidecar(folder)


async def objects(folder: Path) -> dict[str, bytes]:
    """What is in the bucket of one recording, by name."""
    store = from_url(f"s3://{BUCKET}/calls/{folder.name}", client_options={"allow_http": True})
    names = [str(entry["path"]) for entry in await store.list().collect_async()]
    return {name: bytes(await (await store.get_async(name)).bytes_async()) for name in names}


async def test_a_recording_is_stored_though_the_server_fails_at_first(road: Road, tmp_path: Path) -> None:
    road.fail = 4
    async with gateway(tmp_path) as factory:
        folder = await record(factory, tmp_path)
        values = await stored(folder)
    found = await objects(folder)
    assert found["recording.wav"] == (folder / "recording.wav").read_bytes()
    assert json.loads(found["recording.json"]) == values
    assert values["stored"]["url"] == f"s3://{BUCKET}/calls/{folder.name}/recording.wav"
    assert road.requests[:8] == [*4 * [("PUT", 500)], ("PUT", 200), ("GET", 200), ("PUT", 200), ("GET", 200)]


async def test_what_was_on_its_way_when_the_gateway_ended_arrives_with_the_next_one(road: Road, tmp_path: Path) -> None:
    road.blocked = True
    async with gateway(tmp_path) as factory:
        folder = await record(factory, tmp_path)
        await road.waiting.wait()  # the upload has begun
    assert (folder / MARKER).exists()
    assert sidecar(folder)["state"] == "final"
    road.blocked = False
    assert await objects(folder) == {}
    road.fail = 2
    async with gateway(tmp_path):
        await stored(folder)
    assert set(await objects(folder)) == {"recording.wav", "recording.json"}


async def test_what_a_crash_left_is_recovered_and_stored(road: Road, tmp_path: Path) -> None:
    async with gateway(tmp_path) as factory:
        folder = await record(factory, tmp_path)
        await stored(folder)
    text = (folder / "recording.json").read_text()
    (folder / "recording.json").write_text(text.replace('"state": "final"', '"state": "recording"'))
    async with gateway(tmp_path):
        while sidecar(folder)["state"] != "final":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        values = await stored(folder)
    assert (values["ended"], values["complete"]) == ("crash", False)
    found = await objects(folder)
    assert json.loads(found["recording.json"])["ended"] == "crash"


async def test_a_long_recording_goes_in_parts(road: Road, tmp_path: Path) -> None:
    octets = noise(10 * 2**20).tobytes()
    (tmp_path / "a.wav").write_bytes(octets)
    road.fail = 1
    store = ObjectStore(f"s3://{BUCKET}/calls")
    digest = hashlib.sha256(octets).hexdigest()
    await store.put(tmp_path / "a.wav", "x/a.wav", sha256=digest, content_type="audio/wav")
    assert [method for method, status in road.requests if status == 200].count("PUT") == 3
    with pytest.raises(StoreError, match="stored as something else"):
        await store.put(tmp_path / "a.wav", "x/a.wav", sha256="0" * 64, content_type="audio/wav")


async def test_a_store_that_refuses_says_why(road: Road, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    with pytest.raises(StoreError, match=r"cannot store x: .*(404|NoSuchBucket|not found)"):
        await ObjectStore("s3://no-such-bucket").put(tmp_path / "a.wav", "x", sha256="", content_type="audio/wav")
