import numpy as np

from audio_codecs import Samples, decode_l16, decode_ulaw, encode_ulaw, open_codec
from gateway.agents.echo import Echo
from tests.fakes import FakeLine, noise


def packets(samples: Samples) -> list[bytes]:
    return [encode_ulaw(samples[at : at + 160]) for at in range(0, len(samples), 160)]


async def test_the_caller_hears_every_packet_back_at_once() -> None:
    line = FakeLine(agent=Echo)
    said = packets(noise(1600))
    line.say(*said[:2])  # before the agent has had a turn
    async with line.running():
        for number, payload in enumerate(said[2:], 3):
            line.wait(0.02)
            line.say(payload)
            assert len(line.payloads()) == number
    assert line.payloads() == said


async def test_packets_of_another_length_come_back_as_20_ms() -> None:
    line = FakeLine(agent=Echo)
    payload = encode_ulaw(noise(240))
    async with line.running():
        for _ in range(4):
            line.say(payload)
            line.wait(0.03)
    heard = decode_ulaw(b"".join(line.payloads()))
    assert {len(payload) for payload in line.payloads()} == {160}
    said = decode_ulaw(4 * payload)
    assert np.array_equal(heard[heard != 0], said[said != 0])


async def test_a_stream_that_takes_another_rate_gets_that_rate() -> None:
    line = FakeLine(agent=Echo, outbound=open_codec("L16", 16_000))
    async with line.running():
        for number in range(10):
            line.say(encode_ulaw(noise(160, seed=number)))
            line.wait(0.02)
    assert {len(decode_l16(payload, byte_order="little")) for payload in line.payloads()} == {320}
    assert len(line.payloads()) == 10


async def test_only_the_caller_is_echoed() -> None:
    line = FakeLine(agent=Echo)
    async with line.running():
        line.say(encode_ulaw(noise(160)), track="outbound")
    assert line.payloads() == []
