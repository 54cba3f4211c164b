"""Every field of a stream, both tracks, target legs, forks, and what the switches change."""

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from audio_codecs import Samples, decode_ulaw, encode_mp3, encode_ulaw, open_codec
from gateway.protocol.rtp import RtpPacket, parse_rtp
from gateway.simulator import SimulatedCall, Simulator
from gateway.simulator.faults import Faults
from gateway.simulator.switches import Switches

from .application import NUMBERS, Application, application, echo, ignore, simulator, speech, timelapse, until


def tone(seconds: float, rate: int = 8000, hertz: int = 400) -> Samples:
    return np.round(9000 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.int16)


def loudest(samples: Samples, rate: int) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


class Ear:
    """An application that keeps what it hears, and says its lines at `start`."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        self.lines = lines
        self.sockets: list[list[dict[str, Any]]] = []
        self.codes: list[int | None] = []

    async def __call__(self, socket: ServerConnection) -> None:
        heard: list[dict[str, Any]] = []
        self.sockets.append(heard)
        with suppress(ConnectionClosed):
            async for text in socket:
                heard.append(json.loads(text))
                if heard[-1]["event"] == "start":
                    for line in self.lines:
                        await socket.send(json.dumps(line))
        self.codes.append(socket.close_code)

    def of(self, event: str, socket: int = 0) -> list[dict[str, Any]]:
        return [message for message in self.sockets[socket] if message["event"] == event]

    def payloads(self, track: str = "inbound") -> list[bytes]:
        media = [message["media"] for message in self.of("media")]
        return [base64.b64decode(one["payload"]) for one in media if one["track"] == track]


def media(octets: bytes) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(octets).decode()}}


async def streamed(
    app: Application, running: Simulator, said: Samples, silence: float | None = 0.3, **fields: Any
) -> SimulatedCall:
    """A call that is answered and streamed, with these fields."""
    app.plan["call.answered"][0][1].update(fields)
    call = running.place_call(**NUMBERS, speech=said, silence_after=silence)
    await call.wait_finished()
    assert [answer for answer in app.answers if answer[0] != 200] == []
    return call


@pytest.mark.parametrize(
    ("encoding", "rate", "announced"),
    [
        ("PCMU", 16_000, 8000),
        ("PCMA", 8000, 8000),
        ("G722", 8000, 8000),
        ("OPUS", 16_000, 16_000),
        ("OPUS", 8000, 8000),
        ("AMR-WB", 16_000, 16_000),
        ("L16", 8000, 8000),
        ("L16", 16_000, 16_000),
        ("L16", 22_050, 22_050),
        ("L16", 48_000, 48_000),
    ],
)
def test_every_codec_at_every_rate_both_ways(encoding: str, rate: int, announced: int) -> None:
    @timelapse
    async def test() -> None:
        sent = open_codec(encoding, announced, to_send=True)
        frame = sent.sample_rate // 50
        answer = tone(1.0, sent.sample_rate, 700)
        ear = Ear(*(media(sent.encode(answer[at : at + frame])) for at in range(0, len(answer), frame)))
        async with application(ear) as app, simulator(app) as running:
            fields: dict[str, Any] = {
                "stream_codec": encoding,
                "stream_bidirectional_codec": encoding,
                "stream_bidirectional_sampling_rate": rate,
            }
            call = await streamed(app, running, tone(1.0), **fields)
        assert ear.of("start")[0]["start"]["media_format"] == {
            "encoding": encoding,
            "sample_rate": announced,
            "channels": 1,
        }
        decoder = open_codec(encoding, announced)
        heard = np.concatenate([decoder.decode(payload) for payload in ear.payloads()])
        second = decoder.sample_rate
        assert len(heard) == pytest.approx(1.3 * second, abs=0.02 * second)
        assert loudest(heard[second // 5 : second * 4 // 5], second) == pytest.approx(400, abs=5)
        assert loudest(call.journal.said.samples()[1600:6400], 8000) == pytest.approx(400, abs=5)
        line = call.journal.heard.samples()
        assert loudest(line[2000:7000], 8000) == pytest.approx(700, abs=5)
        assert call.describe()["errors"] == []

    test()


@timelapse
async def test_both_tracks_have_messages_of_their_own() -> None:
    answer = speech(0.4, seed=2)
    ear = Ear(media(encode_ulaw(answer)))
    async with application(ear) as app, simulator(app) as running:
        await streamed(app, running, speech(0.5), stream_track="both_tracks")
    inbound, outbound = (b"".join(ear.payloads(track)) for track in ("inbound", "outbound"))
    assert len(inbound) == len(outbound)
    assert inbound[:4000] == encode_ulaw(speech(0.5))
    assert encode_ulaw(decode_ulaw(encode_ulaw(answer))) in outbound
    tracks = {track: [one["media"] for one in ear.of("media") if one["media"]["track"] == track] for track in TRACKS}
    for messages in tracks.values():
        assert [one["chunk"] for one in messages] == [str(n + 1) for n in range(len(messages))]
        assert [one["timestamp"] for one in messages][:3] == ["0", "20", "40"]
    numbers = [int(message["sequence_number"]) for message in ear.sockets[0][1:]]
    assert numbers == list(range(1, len(numbers) + 1))


TRACKS = ("inbound", "outbound")


@timelapse
async def test_the_outbound_track_alone() -> None:
    ear = Ear(media(encode_ulaw(speech(0.4, seed=2))))
    async with application(ear) as app, simulator(app) as running:
        await streamed(app, running, speech(0.5), stream_track="outbound_track")
    assert {message["media"]["track"] for message in ear.of("media")} == {"outbound"}


@pytest.mark.parametrize(
    ("legs", "own", "other"), [("self", True, False), ("opposite", False, True), ("both", True, True)]
)
def test_on_a_bridge_sound_goes_to_the_target_legs(legs: str, own: bool, other: bool) -> None:
    @timelapse
    async def test() -> None:
        ear = Ear(media(encode_ulaw(tone(0.5))))
        async with application(ear, acts=False) as app, simulator(app) as running:
            first, second = [await app.dial(to="+15550100200") for _ in range(2)]
            for call in (first, second):
                await app.told("call.answered", call)
            await app.command(first, "bridge", {"call_control_id": second})
            fields = {"stream_url": app.stream_url, "stream_bidirectional_mode": "rtp"}
            await app.command(first, "streaming_start", fields | {"stream_bidirectional_target_legs": legs})
            await asyncio.sleep(1.0)
            heard = [running.exchange.look_up(call).journal.heard.samples() for call in (first, second)]
            assert [bool(samples.any()) for samples in heard] == [own, other]
            await app.command(first, "hangup")
            await app.told("call.hangup", second)

    test()


@pytest.mark.parametrize(
    ("legs", "switches", "audible"),
    [
        ("self", {}, True),
        ("opposite", {}, True),
        ("both", {}, True),
        ("opposite", {"opposite_alone": "silent"}, False),
        ("self", {"opposite_alone": "silent"}, True),
    ],
)
def test_a_lone_leg_hears_all_but_what_a_switch_keeps_from_it(
    legs: str, switches: dict[str, Any], audible: bool
) -> None:
    @timelapse
    async def test() -> None:
        ear = Ear(media(encode_ulaw(tone(0.2))))
        async with application(ear) as app, simulator(app, switches=Switches(**switches)) as running:
            call = await streamed(app, running, speech(0.5), stream_bidirectional_target_legs=legs)
        assert call.journal.heard.samples().any() == audible

    test()


@timelapse
async def test_files_are_heard_in_mode_mp3() -> None:
    ear = Ear(media(encode_mp3(tone(0.5), 8000)), {"event": "mark", "mark": {"name": "over"}})
    async with application(ear) as app, simulator(app) as running:
        call = await streamed(app, running, speech(1.0), stream_bidirectional_mode="mp3")
    assert sum(length for _, length in call.journal.heard.pieces) >= 4000
    assert loudest(call.journal.heard.samples()[1000:4000], 8000) == pytest.approx(400, abs=5)
    assert [message["mark"]["name"] for message in ear.of("mark")] == ["over"]


@timelapse
async def test_codec_octets_in_mode_mp3_are_told_of_once() -> None:
    async with application(echo) as app, simulator(app) as running:
        call = await streamed(app, running, speech(0.5), stream_bidirectional_mode="mp3")
    (told,) = [entry for entry in call.timeline.entries(kind="stream") if entry["event"] == "not heard"]
    assert told["detail"] == "stream_bidirectional_mode is mp3: 160 octets that are no MP3 file"
    assert call.journal.messages_sent["error"] == 0


# --- forks ---------------------------------------------------------------------------------------------------------


class Port(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.packets.append(parse_rtp(data))


async def open_port() -> tuple[Port, str, asyncio.DatagramTransport]:
    transport, port = await asyncio.get_running_loop().create_datagram_endpoint(Port, local_addr=("127.0.0.1", 0))
    return port, f"udp:127.0.0.1:{transport.get_extra_info('sockname')[1]}", transport


@timelapse
async def test_a_fork_sends_both_directions_as_rtp() -> None:
    rx, rx_target, first = await open_port()
    tx, tx_target, second = await open_port()
    async with application(ignore, acts=False) as app, simulator(app) as running:
        app.plan = {"call.initiated": [("answer", {}), ("fork_start", {"rx": rx_target, "tx": tx_target})]}
        call = running.place_call(**NUMBERS, speech=speech(0.5), silence_after=None)
        await app.told("call.fork.started")
        await until(lambda: len(rx.packets) >= 30)
        call_control_id = call.leg.call_control_id
        assert (await app.command(call_control_id, "fork_stop"))[1]["errors"][0]["source"]["pointer"] == "/stream_type"
        assert (await app.command(call_control_id, "fork_stop", {"stream_type": "decrypted"}))[0] == 200
        stopped = await app.told("call.fork.stopped")
        assert stopped["stream_type"] == "decrypted"
        assert (await app.command(call_control_id, "fork_stop"))[1]["errors"][0]["code"] == "90031"
        count = len(rx.packets)
        await asyncio.sleep(0.5)
        assert len(rx.packets) == count
        await app.command(call_control_id, "hangup")
        await call.wait_finished()
    first.close()
    second.close()
    assert b"".join(packet.payload for packet in rx.packets)[:4000] == encode_ulaw(speech(0.5))
    assert len(rx.packets) == len(tx.packets)
    for packets in (rx.packets, tx.packets):
        begin = packets[0]
        assert [packet.sequence_number for packet in packets] == [
            (begin.sequence_number + n) & 0xFFFF for n in range(len(packets))
        ]
        assert [packet.timestamp for packet in packets] == [
            (begin.timestamp + 160 * n) & 0xFFFFFFFF for n in range(len(packets))
        ]
        assert {(packet.ssrc, packet.payload_type) for packet in packets} == {(begin.ssrc, 0)}
        assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
    assert rx.packets[0].ssrc != tx.packets[0].ssrc


@timelapse
async def test_a_fork_takes_the_place_of_a_stream_and_suffers_its_faults() -> None:
    rx, rx_target, first = await open_port()
    _, tx_target, second = await open_port()
    ear = Ear()
    async with application(ear) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=speech(2.0), silence_after=0.0)
        await app.told("streaming.started")
        running.faults.set(Faults.model_validate({"media": {"lost": 0.3}}))
        fields = {"rx": rx_target, "tx": tx_target}
        assert (await app.command(call.leg.call_control_id, "fork_start", fields))[0] == 200
        await call.wait_finished()
        events = app.events()
        assert events.index("streaming.stopped") < events.index("call.fork.started") < events.index("call.hangup")
    first.close()
    second.close()
    assert ear.of("stop")
    numbers = [packet.sequence_number for packet in rx.packets]
    assert 0 < len(numbers) < (numbers[-1] - numbers[0]) & 0xFFFF


@timelapse
async def test_the_payload_type_of_a_fork_is_its_codecs() -> None:
    rx, rx_target, first = await open_port()
    async with application(ignore, acts=False) as app, simulator(app) as running:
        running.faults.set(Faults.model_validate({"start": {"codec": "PCMA"}}))
        app.plan = {"call.initiated": [("answer", {}), ("fork_start", {"rx": rx_target, "tx": rx_target})]}
        await running.place_call(**NUMBERS, speech=tone(0.2), silence_after=0.0).wait_finished()
    first.close()
    assert {packet.payload_type for packet in rx.packets} == {8}
    assert len({packet.ssrc for packet in rx.packets}) == 2


@timelapse
async def test_a_fork_to_nowhere_is_noted() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=None, silence_after=None)
        call.answer()
        await app.command(call.leg.call_control_id, "fork_start", {"rx": "udp:127.0.0.1:0", "tx": "udp:127.0.0.1:9"})
        await until(lambda: call.media.fork is None)
        assert "no port 0" in call.describe()["errors"][0]["detail"]
        call.person_hangs_up()
        await call.wait_finished()
        assert "call.fork.started" not in app.events()


# --- switches ------------------------------------------------------------------------------------------------------


@timelapse
async def test_numbers_and_times_of_chunks_are_switches() -> None:
    ear = Ear()
    switches = Switches(chunk_base=0, chunk_scope="stream", timestamp="samples")
    async with application(ear) as app, simulator(app, switches=switches) as running:
        app.plan["call.answered"][0][1].update(stream_codec="L16", stream_bidirectional_sampling_rate=16_000)
        await streamed(app, running, speech(0.1), stream_track="both_tracks")
    chunks = [message["media"]["chunk"] for message in ear.of("media")]
    assert chunks == [str(n) for n in range(len(chunks))]
    assert [message["media"]["timestamp"] for message in ear.of("media")][:4] == ["0", "0", "320", "320"]


@pytest.mark.parametrize(
    ("switches", "fields", "announced"),
    [
        ({}, {"stream_bidirectional_codec": "L16"}, ("PCMU", 8000)),
        ({"default_codec": "bidirectional"}, {"stream_bidirectional_codec": "L16"}, ("L16", 8000)),
        ({"default_codec": "bidirectional"}, {"stream_bidirectional_codec": "PCMA"}, ("PCMU", 8000)),
        ({"sampling_rate": "bidirectional"}, {"stream_codec": "L16"}, ("L16", 8000)),
        ({}, {"stream_codec": "L16"}, ("L16", 16_000)),
        ({"g722_rate": "16000"}, {"stream_codec": "G722"}, ("G722", 16_000)),
    ],
)
def test_what_the_application_is_sent_is_a_switch(
    switches: dict[str, Any], fields: dict[str, Any], announced: tuple[str, int]
) -> None:
    @timelapse
    async def test() -> None:
        ear = Ear()
        rate: dict[str, Any] = (
            {} if fields.get("stream_bidirectional_codec") else {"stream_bidirectional_sampling_rate": 16_000}
        )
        async with application(ear) as app, simulator(app, switches=Switches(**switches)) as running:
            await streamed(app, running, speech(0.1), **fields, **rate)
        told = ear.of("start")[0]["start"]["media_format"]
        assert (told["encoding"], told["sample_rate"]) == announced

    test()


@timelapse
async def test_l16_and_amr_wb_lie_as_the_switches_say() -> None:
    ear = Ear()
    async with application(ear) as app, simulator(app, switches=Switches(l16_byte_order="big")) as running:
        await streamed(app, running, tone(0.1), stream_codec="L16")
    np.testing.assert_array_equal(np.frombuffer(b"".join(ear.payloads()), ">i2")[:800], tone(0.1))
    lengths = []
    for layout in ("efficient", "aligned"):
        ear = Ear()
        async with application(ear) as app, simulator(app, switches=Switches(amr_wb=layout)) as running:
            await streamed(app, running, tone(0.1), stream_codec="AMR-WB", stream_bidirectional_sampling_rate=16_000)
        lengths.append(len(ear.payloads()[0]))
    assert lengths == [33, 34]


@pytest.mark.parametrize(("details", "token"), [("ignore", None), ("take", "tok-1")])
def test_answer_may_know_more_than_its_schema(details: str, token: str | None) -> None:
    @timelapse
    async def test() -> None:
        ear = Ear()
        async with application(ear) as app, simulator(app, switches=Switches(answer_details=details)) as running:
            fields = {
                "stream_url": app.stream_url,
                "stream_auth_token": "tok-1",
                "custom_parameters": [{"name": "customer", "value": "42"}],
            }
            app.plan = {"call.initiated": [("answer", fields)]}
            await running.place_call(**NUMBERS, speech=speech(0.1), silence_after=0.0).wait_finished()
        told = ear.of("connected")[0].get("connected", {}).get("x-telnyx-streaming-auth-token")
        assert told == token
        assert ear.of("start")[0]["start"].get("custom_parameters") == ({"customer": "42"} if token else None)

    test()


@timelapse
async def test_after_an_error_and_in_idleness_the_socket_may_be_closed() -> None:
    ear = Ear({"event": "dance"})
    async with application(ear) as app, simulator(app, switches=Switches(after_error="close")) as running:
        await hung_up_after(app, running, 1.0)
    assert ear.codes == [1008]
    ear = Ear()
    async with application(ear) as app, simulator(app, switches=Switches(idle_timeout=2.0)) as running:
        await hung_up_after(app, running, 4.0)
    assert ear.codes == [1001]
    assert 95 <= len(ear.of("media")) <= 105


async def hung_up_after(app: Application, running: Simulator, seconds: float) -> SimulatedCall:
    call = running.place_call(**NUMBERS, speech=speech(5.0), silence_after=None)
    await asyncio.sleep(seconds)
    call.person_hangs_up()
    await call.wait_finished()
    return call


@pytest.mark.parametrize("names", ["same", "new"])
def test_a_socket_that_the_application_closes_may_be_opened_again(names: str) -> None:
    @timelapse
    async def test() -> None:
        ids = []

        async def media(socket: ServerConnection) -> None:
            async for text in socket:
                message = json.loads(text)
                if message["event"] == "start":
                    ids.append(message["stream_id"])
                if message["event"] == "media" and message["media"]["chunk"] == "5":
                    await socket.close()

        switches = Switches(reconnects=2, reconnect_delay=0.5, reconnect_stream_id=names)
        async with application(media) as app, simulator(app, switches=switches) as running:
            call = await hung_up_after(app, running, 3.0)
        assert len(ids) == 3
        assert len(set(ids)) == (1 if names == "same" else 3)
        assert call.journal.messages_sent["connected"] == 3
        assert app.events().count("streaming.started") == 1

    test()


@timelapse
async def test_a_second_stream_may_take_the_first_ones_place() -> None:
    ear = Ear()
    async with application(ear) as app, simulator(app, switches=Switches(second_stream="replace")) as running:
        call = running.place_call(**NUMBERS, speech=speech(1.0), silence_after=0.0)
        await app.told("streaming.started")
        status, _ = await app.command(call.leg.call_control_id, "streaming_start", {"stream_url": app.stream_url})
        assert status == 200
        await call.wait_finished()
        assert app.events().count("streaming.stopped") == 2
    assert len(ear.sockets) == 2
    assert ear.of("start")[0]["stream_id"] != ear.of("start", 1)[0]["stream_id"]


@timelapse
async def test_a_repeated_command_may_be_refused() -> None:
    async with application(ignore) as app, simulator(app, switches=Switches(repeated_command="refuse")) as running:
        app.plan = {"call.initiated": [("answer", {"command_id": "one"}), ("answer", {"command_id": "one"})]}
        call = running.place_call(**NUMBERS, speech=None)
        await until(lambda: len(app.answers) == 2)
        assert [status for status, _ in app.answers] == [200, 422]
        call.person_hangs_up()
        await call.wait_finished()


@timelapse
async def test_keys_are_told_on_the_stream_and_by_webhook() -> None:
    ear = Ear()
    async with application(ear) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=speech(0.5), silence_after=None)
        await until(lambda: call.journal.messages_sent["media"] > 3)
        call.person_presses("#")
        assert (await app.told("call.dtmf.received"))["digit"] == "#"
        call.person_hangs_up()
        await call.wait_finished()
    (dtmf,) = ear.of("dtmf")
    assert dtmf["dtmf"] == {"digit": "#"}
    assert dtmf["occurred_at"].endswith("Z")
