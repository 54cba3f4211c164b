"""A forked call from its packets to its recording: a whole gateway, and a network that loses, doubles and delays."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import structlog

from audio_codecs import decode_ulaw
from gateway import Gateway, Settings
from gateway.errors import ConfigError
from gateway.protocol.rtp import build_rtp
from tests.integration.phone import finished_recording
from tests.rtp import PACKET, RtpSender, Timed, free_ports, impair, voices

KEY = "k" * 20
CALL = "v3:forked"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Gaps wait long: the machine may stand still for a while, and the packets here are late on purpose only."""
    settings = Settings(
        media_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        fork_listen=free_ports(8),
        reorder_ms=500,
        data_dir=tmp_path,
        api_key=KEY,
    )
    log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    async with asyncio.timeout(20), Gateway(settings, log=log) as gateway:
        yield gateway


async def feed(target: str, packets: list[Timed]) -> None:
    """Send packets in their time."""
    _, host, port = target.split(":")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect((host, int(port)))
        for at, packet in packets:
            await asyncio.sleep(begin + at - loop.time())
            udp.send(build_rtp(packet))


async def shown(gateway: Gateway) -> dict[str, Any]:
    """What the API says of the call."""
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{gateway.http_url}/v1/calls/{CALL}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        record: dict[str, Any] = await answer.json()
        return record


def talk(seed: int) -> list[Timed]:
    """A second of sound, with a pause, comfort noise and a key in it."""
    sender = RtpSender(seed, sequence_number=65_520, timestamp=2**32 - 5000)
    sent = sender.voice(voices(15, seed))
    sent += sender.comfort_noise()
    sender.wait(0.25)
    sent += sender.voice(voices(10, seed + 1))
    sent += sender.press("7")
    return sent + sender.voice(voices(15, seed + 2))


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_came_through_is_in_the_recording_to_the_sample_and_the_rest_in_the_ledger(
    gateway: Gateway, tmp_path: Path, seed: int
) -> None:
    assert gateway.forks is not None
    targets = await gateway.forks.open(CALL)
    sent = {"inbound": talk(seed), "outbound": talk(seed + 10)}
    arrivals = {
        track: impair(packets, seed, lost=0.1, doubled=0.1, late=0.3, most=0.045) for track, packets in sent.items()
    }
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed(targets.rx, arrivals["inbound"]))
        tasks.create_task(feed(targets.tx, arrivals["outbound"]))
    record = await shown(gateway)
    assert record["state"] == "streaming"
    assert record["media"]["inbound_codec"] == "PCMU/8000"
    gateway.forks.close(CALL)

    sidecar, recorded = await finished_recording(tmp_path, CALL)
    assert sidecar["channels"] == ["inbound", "outbound"]
    report = sidecar["report"]
    assert report["digits_received"] == 2
    for channel, (track, came) in enumerate(arrivals.items()):
        counted = report["received"]["tracks"][track]
        first = sent[track][0][1]
        sound = {packet.sequence_number: packet for _, packet in came if packet.payload_type == 0}
        assert counted["packets_received"] - counted["packets_duplicated"] == len(sound)
        assert (counted["packets_late"], counted["rtp"]["packets_foreign"]) == (0, 0)
        numbers = {packet.sequence_number for _, packet in came}
        assert counted["rtp"]["packets_expected"] == len(sent[track])
        assert counted["rtp"]["packets_missing"] == len(sent[track]) - len(came)
        assert len(numbers) < len(sent[track]), "something was lost"

        gaps = [gap for gap in report["received"]["ledger"]["gaps"] if gap["track"] == track]
        length = (sent[track][-1][1].timestamp - first.timestamp) % 2**32 + PACKET
        begin = _begin_of(recorded[:, channel], decode_ulaw(first.payload))
        whole = recorded[begin : begin + length, channel]
        heard = np.zeros(length, bool)
        for packet in sound.values():
            place = (packet.timestamp - first.timestamp) % 2**32
            assert np.array_equal(whole[place : place + PACKET], decode_ulaw(packet.payload))
            heard[place : place + PACKET] = True
        made_up = np.zeros(length, bool)
        for gap in gaps:
            made_up[gap["position"] - begin : gap["position"] - begin + gap["length"]] = True
        assert np.array_equal(heard, ~made_up)
        assert {gap["cause"] for gap in gaps} == {"lost", "silence"}
        assert not recorded[:begin, channel].any()
        assert not recorded[begin + length :, channel].any()


def _begin_of(channel: Any, sound: Any) -> int:
    """Where a packet stands in a channel: at the channel's first sound."""
    place = int(np.flatnonzero(channel)[0])
    begin = place - int(np.flatnonzero(sound)[0])
    assert np.array_equal(channel[begin : begin + len(sound)], sound)
    return begin


async def test_the_end_of_the_gateway_ends_the_fork_and_its_recording(gateway: Gateway, tmp_path: Path) -> None:
    assert gateway.forks is not None
    targets = await gateway.forks.open(CALL)
    await feed(targets.rx, [(0.0, packet) for _, packet in RtpSender().voice(voices(10))])
    async with asyncio.timeout(5):
        while (await shown(gateway)).get("media", {}).get("received", {}).get("packets_received") != 10:  # noqa: ASYNC110 - UDP
            await asyncio.sleep(0.01)
    await gateway.__aexit__()
    sidecar, recorded = await finished_recording(tmp_path, CALL)
    assert sidecar["report"]["end_reason"] == "shutdown"
    assert np.array_equal(recorded[:, 0], decode_ulaw(b"".join(voices(10))))


async def test_a_gateway_without_ports_for_it_takes_no_forks(tmp_path: Path) -> None:
    settings = Settings(media_listen="127.0.0.1:0", http_listen="127.0.0.1:0", data_dir=tmp_path, api_key=KEY)
    log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    async with Gateway(settings, log=log) as gateway:
        assert gateway.forks is None


def test_a_gateway_that_listens_everywhere_must_say_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_FORK_PUBLIC_HOST"):
        Gateway(Settings(fork_listen="0.0.0.0:20000-20999", data_dir=tmp_path), log=structlog.get_logger())
