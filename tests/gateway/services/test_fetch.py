"""Sound by its URL: what is fetched, what is refused, and where nobody may be led."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.errors import PlaybackError
from gateway.services.fetch import is_public, open_fetcher

SOUND = b"RIFF" + bytes(100_000)


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """A web server on this machine; gives its URL."""

    async def sound(request: web.Request) -> web.Response:
        return web.Response(body=SOUND)

    async def lead_away(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"RIFF")
        await asyncio.sleep(60)
        return response

    app = web.Application()
    app.router.add_get("/sound.wav", sound)
    app.router.add_get("/away", lead_away)
    app.router.add_get("/hang", hang)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_file_is_fetched_also_by_a_redirect() -> None:
    async with serving() as url, open_fetcher(allow_private=True) as fetcher:
        assert await fetcher.fetch(f"{url}/sound.wav") == SOUND
        assert await fetcher.fetch(f"{url}/away?to={url}/sound.wav") == SOUND


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/nowhere", "127.0.0.1:.* answers 404"),
        ("/sound.wav", "more than 1000 octets"),
        ("/hang", "no whole file within 0.3 s"),
        ("/away?to=/away?to=/nowhere", "answers 404"),
        ("/away?to=file:///etc/passwd", "cannot be asked"),
    ],
)
async def test_what_cannot_be_had_says_why(path: str, complaint: str) -> None:
    async with serving() as url, open_fetcher(allow_private=True, max_bytes=1000, timeout=0.3) as fetcher:
        with pytest.raises(PlaybackError, match=complaint):
            await fetcher.fetch(url + path)


async def test_redirects_in_a_circle_end() -> None:
    async with serving() as url, open_fetcher(allow_private=True) as fetcher:
        with pytest.raises(PlaybackError, match="TooManyRedirects"):
            await fetcher.fetch(f"{url}/away?to=/away%3Fto=/away%3Fto=/away%3Fto=/away%3Fto=/away%3Fto=/away%3Fto=/x")


async def test_nobody_is_led_to_this_machine() -> None:
    async with serving() as url, open_fetcher(allow_private=False) as fetcher:
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0.0.0.0"):
            with pytest.raises(PlaybackError, match="cannot be asked"):
                await fetcher.fetch(f"http://{host}:{port}/sound.wav")


async def test_a_name_that_leads_to_a_private_address_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with open_fetcher(allow_private=False) as fetcher:
        with pytest.raises(PlaybackError, match=r"sounds\.example cannot be asked: it leads to a private address"):
            await fetcher.fetch("http://sounds.example/sound.wav?key=secret")


async def test_a_url_with_a_password_is_told_without_it() -> None:
    async with open_fetcher(allow_private=True) as fetcher:
        with pytest.raises(PlaybackError, match=r"^127\.0\.0\.1:1 cannot"):
            await fetcher.fetch("http://user:secret@127.0.0.1:1/sound.wav")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",  # where clouds keep their secrets
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "nonsense",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:8.8.8.8"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)
