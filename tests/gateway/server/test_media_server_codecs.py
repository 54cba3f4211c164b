"""Every codec through the media port: a stream that announces it, an agent that echoes, a report that tells."""

import asyncio

import numpy as np
import pytest

from audio_codecs import ByteOrderSetting, CodecError, encode_l16, open_codec
from gateway.protocol.messages import MediaFormat, Play
from tests.audio_codecs.vectors import payloads, read, samples
from tests.fakes import ListSink
from tests.gateway.control.conftest import Log
from tests.gateway.server.media_port import Caller, media_port
from tests.gateway.server.wire import PATIENCE

SPEECH = samples("speech_16000.wav")
FRAMES = [SPEECH[at : at + 320] for at in range(0, len(SPEECH), 320)]


async def answers(caller: Caller, count: int) -> list[bytes]:
    """The payloads of the next messages of sound."""
    heard = list[bytes]()
    async with asyncio.timeout(PATIENCE):
        while len(heard) < count:
            message = caller.carrier.receive_message(await caller.socket.recv())
            if isinstance(message, Play):
                heard.append(message.media.payload)
    return heard


def packets(encoding: str) -> list[bytes]:
    """What another program made of the speech."""
    if encoding == "G722":
        stream = read("g722.raw")
        return [stream[at : at + 160] for at in range(0, len(stream), 160)]
    return payloads({"OPUS": "opus_16000.rtp", "AMR-WB": "amr_wb_2.rtp"}[encoding])


@pytest.mark.parametrize(("encoding", "clock_rate"), [("G722", 8000), ("OPUS", 16000), ("AMR-WB", 16000)])
async def test_speech_in_another_codec_is_heard_and_answered_in_it(log: Log, encoding: str, clock_rate: int) -> None:
    try:
        codec = open_codec(encoding, clock_rate, to_send=True)
    except CodecError as error:
        pytest.skip(str(error))
    sink, sent = ListSink(), packets(encoding)
    async with media_port(log, sinks={"list": sink.factory}) as port:
        token = port.token(asked_codec=(encoding, clock_rate))
        async with port.call(token=token, media_format=MediaFormat(encoding, clock_rate)) as caller:
            await caller.say(*sent)
            heard = await answers(caller, 10)
            await caller.send(caller.carrier.send_stop())
        report = await port.stopped()
    assert report["inbound_codec"] == f"{encoding}/16000"
    assert report["received"]["payloads_bad"] == 0
    expected = open_codec(encoding, clock_rate)
    np.testing.assert_array_equal(sink.sound(), np.concatenate([expected.decode(packet) for packet in sent]))
    assert {len(codec.decode(payload)) for payload in heard} == {320}, "one packet of 20 ms in each message"


async def test_auto_corrects_the_byte_order_within_200_ms_and_answers_in_it(log: Log) -> None:
    sink = ListSink()
    async with media_port(log, byte_order="auto", sinks={"list": sink.factory}) as port:
        token = port.token(asked_codec=("L16", 16000))
        async with port.call(token=token, media_format=MediaFormat("L16", 16000)) as caller:
            for frame in FRAMES:
                await caller.say(encode_l16(frame, "big"))
            answered = await answers(caller, len(FRAMES))
            await caller.send(caller.carrier.send_stop())
        report = await port.stopped()
    right = [piece.samples.tolist() == frame.tolist() for piece, frame in zip(sink.frames, FRAMES, strict=True)]
    known = right.index(True)
    assert known < 10
    # What came before was read the wrong way, and is answered so too, unless it was found out meanwhile.
    assert answered[known:] == [encode_l16(frame, "big") for frame in FRAMES[known:]]
    assert report["received"]["wire"]["l16_byte_order"] == report["received"]["wire"]["l16_byte_order_heard"] == "big"
    assert [line["log_level"] for line in port.logged("L16 byte order heard")] == ["info"]


@pytest.mark.parametrize("byte_order", ["little", "big"])
async def test_a_byte_order_that_is_set_is_obeyed_and_a_mismatch_reported(
    log: Log, byte_order: ByteOrderSetting
) -> None:
    sink, wrong = ListSink(), byte_order == "little"
    async with media_port(log, byte_order=byte_order, sinks={"list": sink.factory}) as port:
        token = port.token(asked_codec=("L16", 16000))
        async with port.call(token=token, media_format=MediaFormat("L16", 16000)) as caller:
            await caller.say(*(encode_l16(frame, "big") for frame in FRAMES))
            await answers(caller, 5)
            await caller.send(caller.carrier.send_stop())
        report = await port.stopped()
    expected = SPEECH.byteswap() if wrong else SPEECH
    np.testing.assert_array_equal(sink.sound(), expected)
    wire = report["received"]["wire"]
    assert (wire["l16_byte_order"], wire["l16_byte_order_heard"]) == (byte_order, "big")
    assert [line["log_level"] for line in port.logged("L16 byte order heard")] == (["warning"] if wrong else ["info"])
