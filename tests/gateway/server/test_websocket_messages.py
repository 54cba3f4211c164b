import asyncio
from itertools import pairwise

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from gateway.server.transport import CloseCode, Limits, Link
from tests.gateway.control.conftest import Log
from tests.gateway.server.listener import Listener
from tests.gateway.server.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame

pytestmark = pytest.mark.usefixtures("transport")

SMALL = Limits(max_message_bytes=1024)
EURO = "€".encode()


def echo(link: Link, text: str) -> None:
    link.send(text.encode())


async def test_texts_go_both_ways_whole_and_in_order(log: Log) -> None:
    texts = ["", "a", "é€😀", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536, "x" * 1_048_576]
    async with Listener(log, on_text=echo) as port, connect(port.url, proxy=None) as client:
        for text in texts:
            await client.send(text)
        for text in texts:
            async with asyncio.timeout(5):
                assert await client.recv() == text
        assert port.session.told == ["open", *texts]
        assert port.session.times == sorted(port.session.times)


async def test_what_is_sent_as_the_socket_opens_comes_behind_the_handshake(log: Log) -> None:
    async with Listener(log, on_open=lambda link: link.send(b"hello")) as port, port.upgraded() as client:
        assert await client.frame() == (TEXT, b"hello")


async def test_many_messages_in_one_segment_are_taken_one_by_one(log: Log) -> None:
    texts = [f"text {number}" for number in range(100)]
    async with Listener(log, on_text=echo) as port, port.upgraded() as client:
        await client.send(b"".join(frame(TEXT, text.encode()) for text in texts))
        for text in texts:
            assert await client.frame() == (TEXT, text.encode())
        assert port.session.told == ["open", *texts]


async def test_a_message_may_come_octet_by_octet(log: Log) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        for octet in frame(TEXT, b"slow"):
            await client.send(bytes([octet]))
        await port.told("open", "slow")


@pytest.mark.parametrize("size", [20, 200, 70_000])
@pytest.mark.parametrize("where", ["in the head", "behind the size", "behind the head", "in the payload", "at the end"])
async def test_a_message_may_be_cut_anywhere_and_its_payload_may_look_like_a_frame(
    log: Log, where: str, size: int
) -> None:
    """Masked, the payload begins with 0x81 0x82, and so would a text frame of two octets."""
    text = ("abcdefghijklmnopqrst" * size)[:size]
    octets = frame(TEXT, text.encode(), mask=b"\xe0" * 4)
    head = len(octets) - size
    cut = {
        "in the head": 1,
        "behind the size": head - 4,
        "behind the head": head,
        "in the payload": head + 4,
        "at the end": len(octets),
    }[where]
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(octets[:cut])
        await asyncio.sleep(0.01)  # so that the rest comes by itself
        await client.send(octets[cut:] + frame(TEXT, b"next"))
        await port.told("open", text, "next")


@given(st.data())
async def test_however_a_conversation_is_cut_it_is_understood(data: st.DataObject) -> None:
    """Fed by hand, without a socket: whole texts, fragments and pings, in segments of any size."""
    conversation, texts = b"", []
    for _ in range(data.draw(st.integers(1, 5))):
        octets = data.draw(st.binary(max_size=300)).hex().encode()
        mask = data.draw(
            st.binary(min_size=4, max_size=4) | st.sampled_from([b"\xe0" * 4, bytes(4), b"\xb1\xb2\xb3\xb4"])
        )
        pieces = data.draw(st.integers(1, 3))
        edges = [len(octets) * place // pieces for place in range(pieces + 1)]
        for place, (start, end) in enumerate(pairwise(edges)):
            opcode = CONT if place else TEXT
            conversation += frame(opcode, octets[start:end], fin=place == pieces - 1, mask=mask)
            if data.draw(st.booleans()):
                conversation += frame(PING, octets[:100], mask=mask)
        texts.append(octets.decode())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(conversation)), max_size=8)))
    port = Listener(Log(structlog.get_logger(), []))
    async with port.by_hand() as connection:
        for start, end in pairwise([0, *cuts, len(conversation)]):
            await connection.receive(conversation[start:end])
    assert port.session.told == ["open", *texts, (1006, "")]


async def test_fragments_are_put_together_and_what_stands_between_them_is_answered(log: Log) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"a" + EURO[:1], fin=False))
        await client.send(frame(PING, b"between"))
        assert await client.frame() == (PONG, b"between")
        await client.send(frame(CONT, EURO[1:2], fin=False) + frame(PONG, b"unasked") + frame(CONT, b"", fin=False))
        await client.send(frame(CONT, EURO[2:] + b"b"))
        await client.send(frame(TEXT, b"whole"))
        await port.told("open", "a€b", "whole")


async def test_a_pong_comes_before_the_answer_to_a_text_that_stood_behind_the_ping(log: Log) -> None:
    async with Listener(log, on_text=echo) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"a", fin=False) + frame(PING, b"?") + frame(CONT, b"b"))
        assert await client.frame() == (PONG, b"?")
        assert await client.frame() == (TEXT, b"ab")


@pytest.mark.parametrize("payload", [b"", b"x" * 125])
async def test_a_ping_is_answered_with_what_it_carries(log: Log, payload: bytes) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(frame(PING, payload))
        assert await client.frame() == (PONG, payload)
        assert port.session.told == ["open"]


async def test_the_largest_message_is_taken_whole_and_in_fragments(log: Log) -> None:
    async with Listener(log, SMALL) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"x" * 1024))
        await client.send(b"".join(frame(CONT if place else TEXT, b"y" * 256, fin=place == 3) for place in range(4)))
        await port.told("open", "x" * 1024, "y" * 1024)


OFFENCES = {
    "bad UTF-8": (frame(TEXT, b"\xff"), CloseCode.INVALID_DATA),
    "bad UTF-8 over fragments": (frame(TEXT, EURO[:2], fin=False) + frame(CONT, b"x"), CloseCode.INVALID_DATA),
    "half a character at the end": (frame(TEXT, EURO[:2]), CloseCode.INVALID_DATA),
    "binary": (frame(BINARY, b"\x00"), CloseCode.UNSUPPORTED_DATA),
    "binary in fragments": (frame(BINARY, b"{", fin=False) + frame(CONT, b"}"), CloseCode.UNSUPPORTED_DATA),
    "too big": (frame(TEXT, b"x" * 1025), CloseCode.MESSAGE_TOO_BIG),
    "announced too big": (frame(TEXT, b"x" * (1 << 20))[:14], CloseCode.MESSAGE_TOO_BIG),
    "fragments too big": (
        frame(TEXT, b"x" * 600, fin=False) + frame(CONT, b"x" * 425, fin=False),
        CloseCode.MESSAGE_TOO_BIG,
    ),
    "unmasked": (frame(TEXT, b"x", masked=False), CloseCode.PROTOCOL_ERROR),
    "reserved bit": (frame(TEXT, b"x", reserved=4), CloseCode.PROTOCOL_ERROR),
    "unknown opcode": (frame(0x3, b"x"), CloseCode.PROTOCOL_ERROR),
    "continuation of nothing": (frame(CONT, b"x"), CloseCode.PROTOCOL_ERROR),
    "text between fragments": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), CloseCode.PROTOCOL_ERROR),
    "long ping": (frame(PING, b"x" * 126), CloseCode.PROTOCOL_ERROR),
    "ping in fragments": (frame(PING, b"x", fin=False), CloseCode.PROTOCOL_ERROR),
    "close frame of one octet": (frame(CLOSE, b"x"), CloseCode.PROTOCOL_ERROR),
    "close code of nobody": (close_frame(1005), CloseCode.PROTOCOL_ERROR),
    "close in a message": (frame(TEXT, b"x", fin=False) + close_frame(1000), CloseCode.PROTOCOL_ERROR),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", CloseCode.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("offence", OFFENCES)
async def test_who_breaks_a_rule_is_closed_with_its_code_and_what_was_said_before_stands(
    log: Log, offence: str
) -> None:
    octets, code = OFFENCES[offence]
    async with Listener(log, SMALL, on_text=echo) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"before") + octets + frame(TEXT, b"after"))
        received = await client.frame()
        if received == (TEXT, b"before"):  # not echoed where the socket was already closing as the text was handed on
            received = await client.frame()
        assert received.opcode == CLOSE
        assert int.from_bytes(received.payload[:2]) == code
        client.half_close()
        assert await client.rest() == b""
        await port.until(lambda: not port.connections)
    assert port.session.told[:2] == ["open", "before"]
    (lost,) = port.session.told[2:]
    assert lost[0] == (1000 if offence == "close in a message" else code)
    assert port.counters.failed == {str(int(code)): 1}
    assert port.counters.dropped == {}
    assert [line["code"] for line in port.lines("media socket failed")] == [code]


@pytest.mark.parametrize("octets", [b"\xff" * 100, frame(TEXT, b"secret\xff"), frame(BINARY, b"secret")])
async def test_no_log_and_no_close_reason_repeats_what_was_said(log: Log, octets: bytes) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(octets)
        _, reason = await client.closed_with()
        client.half_close()
        await port.until(lambda: not port.connections)
    assert "secret" not in reason + repr(log.lines)
