import json
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_codecs import Codec, Samples, decode_alaw, decode_ulaw
from gateway.media.frame import AudioFrame
from gateway.media.ledger import GapLedger
from gateway.media.rtp_receiver import RtpReceiver
from gateway.protocol.rtp import PAYLOAD_TYPES, RtpFormat, RtpPacket
from tests.rtp import PACKET, PACKET_TIME, RtpSender, Timed, impair, voices

HERE = ("192.0.2.1", 4000)
WINDOW = 0.06


class Line:
    """A receiver, and what came of it."""

    def __init__(
        self, *, sample_rate: int | None = None, position: int = 0, formats: dict[int, RtpFormat] | None = None
    ):
        self.digits = ""
        self.ledger = GapLedger()
        self.frames: list[AudioFrame] = []
        self._begins_as = sample_rate, position
        self.receiver = RtpReceiver(
            "inbound",
            formats=PAYLOAD_TYPES | (formats or {}),
            ledger=self.ledger,
            begin=self._begin,
            on_digit=self._pressed,
            window=WINDOW,
        )

    def _begin(self, codec: Codec, now: float) -> tuple[int, int]:
        del now
        sample_rate, position = self._begins_as
        return sample_rate or codec.sample_rate, position

    def _pressed(self, digit: str) -> None:
        self.digits += digit

    def receive(self, packets: Iterable[Timed]) -> list[AudioFrame]:
        """Push packets, calling `pop` when it is due; return the frames that come of it."""
        before = len(self.frames)
        for now, packet in packets:
            self.pop_due(now)
            self.frames += self.receiver.push(packet, HERE, now=now)
        return self.frames[before:]

    def pop_due(self, now: float) -> None:
        while (due := self.receiver.deadline()) is not None and due < now:
            self.frames += self.receiver.pop(now=due)

    def flush(self) -> None:
        self.frames += self.receiver.flush()

    def sound(self) -> Samples:
        return np.concatenate([frame.samples for frame in self.frames])

    def gaps(self) -> list[tuple[int, int, str]]:
        """Position, length and cause of each."""
        return [(gap.position, gap.length, gap.cause) for gap in self.ledger.gaps]

    def check_contiguous(self) -> None:
        ends = np.cumsum([len(frame.samples) for frame in self.frames]).tolist()
        assert [frame.timestamp for frame in self.frames] == [self.frames[0].timestamp + end for end in [0, *ends[:-1]]]


def samples_of(payloads: Iterable[bytes]) -> Samples:
    return decode_ulaw(b"".join(payloads))


def counted(line: Line, name: str) -> object:
    return line.receiver.describe()["rtp"][name]


# --- order ---------------------------------------------------------------------------------------------------------


def test_packets_in_order_are_frames_exact_to_the_sample() -> None:
    line, payloads = Line(), voices(50)
    line.receive(RtpSender(sequence_number=65_520, timestamp=2**32 - 2000).voice(payloads))
    assert np.array_equal(line.sound(), samples_of(payloads))
    assert [frame.payload for frame in line.frames] == payloads
    line.check_contiguous()
    assert (line.gaps(), counted(line, "timestamp_jumps")) == ([], 0)
    assert {(frame.track, frame.sample_rate, frame.concealed) for frame in line.frames} == {("inbound", 8000, False)}


def test_packets_out_of_order_are_put_right() -> None:
    line, payloads = Line(), voices(6)
    sent = RtpSender().voice(payloads)
    line.receive((0.02 * n, sent[place][1]) for n, place in enumerate((0, 1, 3, 2, 4, 5)))
    assert np.array_equal(line.sound(), samples_of(payloads))
    assert line.receiver.describe()["packets_reordered"] == 1


def test_a_lost_packet_is_concealed_in_its_place_after_the_window() -> None:
    line, payloads = Line(), voices(8)
    sent = RtpSender().voice(payloads)
    line.receive(sent[:3] + sent[4:5])
    assert line.receiver.deadline() == pytest.approx(sent[4][0] + WINDOW)
    line.pop_due(1.0)
    assert [frame.concealed for frame in line.frames] == [False, False, False, True, False]
    assert line.gaps() == [(3 * PACKET, PACKET, "lost")]
    line.receive(sent[5:])
    line.check_contiguous()
    assert np.array_equal(line.sound()[4 * PACKET :], samples_of(payloads[4:]))


def test_the_track_begins_where_the_call_says() -> None:
    line = Line(position=12_345)
    line.receive(RtpSender().voice(voices(3)))
    assert [frame.timestamp for frame in line.frames] == [12_345, 12_505, 12_665]


# --- time ----------------------------------------------------------------------------------------------------------


def test_a_pause_that_the_timestamp_tells_is_filled_with_silence() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.wait(0.73)
    line.receive(sender.voice(voices(2)))
    pause = round(0.73 * 8000)
    assert line.gaps() == [(3 * PACKET, pause, "silence")]
    assert np.array_equal(
        line.sound(), np.concatenate([samples_of(voices(3)), np.zeros(pause, np.int16), samples_of(voices(2))])
    )
    line.check_contiguous()
    assert max(len(frame.samples) for frame in line.frames) == 800
    described = line.receiver.describe()
    assert (described["packets_lost"], described["frames_concealed"]) == (0, 0)


def test_comfort_noise_lets_the_time_pass_in_silence() -> None:
    line, sender = Line(), RtpSender()
    sent = sender.voice(voices(2))
    for _ in range(3):
        sent += sender.comfort_noise()
        sender.wait(0.2)
    sent += sender.voice(voices(2))
    line.receive(sent)
    assert line.gaps() == [(2 * PACKET, 4800, "silence")]
    assert (counted(line, "packets_silent"), line.receiver.describe()["packets_lost"]) == (3, 0)
    assert len(line.frames) == 4 + 6


def test_lost_packets_and_a_pause_are_told_apart() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.voice(voices(2))
    sender.wait(0.5)
    line.receive(sender.voice(voices(3)))
    line.pop_due(9.0)
    assert line.gaps() == [(3 * PACKET, 2 * PACKET, "lost"), (5 * PACKET, 4000, "silence")]
    line.check_contiguous()


def test_a_lost_packet_that_held_no_sound_leaves_no_hole() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.packet(b"\x40", payload_type=13)  # is lost
    line.receive(sender.voice(voices(3)))
    line.pop_due(9.0)
    assert np.array_equal(line.sound(), samples_of(voices(3) * 2))
    assert line.gaps() == []


def test_keys_take_time_but_hold_no_sound() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)) + sender.press("5") + sender.voice(voices(2)) + sender.press("#"))
    assert line.digits == "5#"
    assert line.gaps() == [(3 * PACKET, 5 * PACKET, "silence")]
    assert (counted(line, "packets_of_keys"), line.receiver.describe()["packets_lost"]) == (14, 0)


def test_broken_keys_are_counted() -> None:
    line, sender = Line(), RtpSender()
    sent = [*sender.voice(voices(2)), (0.1, sender.packet(b"\x05", payload_type=101))]
    line.receive(sent + sender.voice(voices(2)))
    assert (line.digits, counted(line, "telephone_events_bad")) == ("", 1)


def test_the_time_of_a_long_silence_passes_a_second_late() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(5)))
    arrived = sender.now - PACKET_TIME
    assert line.receiver.pass_time(now=arrived + 0.9) == []
    for tick in (1.5, 2.0, 2.5, 3.0):
        line.frames += line.receiver.pass_time(now=arrived + tick)
        assert sum(len(frame.samples) for frame in line.frames) == 5 * PACKET + round((tick - 1) * 8000)
    sender.wait(4.0)
    line.receive(sender.voice(voices(2)))
    assert line.gaps() == [(5 * PACKET, 32_000, "silence")]
    line.check_contiguous()
    assert np.array_equal(line.sound()[-2 * PACKET :], samples_of(voices(2)))


def test_no_time_passes_before_the_first_packet() -> None:
    assert Line().receiver.pass_time(now=100.0) == []


def test_sound_that_was_held_up_somewhere_is_heard_although_its_time_is_over() -> None:
    line, sender = Line(), RtpSender()
    sent = sender.voice(voices(300))
    line.receive(sent[:5])
    line.frames += line.receiver.pass_time(now=5.0)
    line.receive((5.0, packet) for _, packet in sent[5:])
    heard = [frame.payload for frame in line.frames if not frame.concealed]
    assert heard == voices(300)
    line.check_contiguous()
    assert counted(line, "timestamp_jumps") == 1


def test_a_timestamp_that_runs_ahead_of_time_is_not_believed() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.timestamp += 8000 * 3600
    line.receive(sender.voice(voices(3)))
    assert np.array_equal(line.sound(), samples_of(voices(3) * 2))
    assert (line.gaps(), counted(line, "timestamp_jumps")) == ([], 1)


def test_a_timestamp_that_goes_back_costs_no_sound() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.timestamp -= 4000
    line.receive(sender.voice(voices(3)))
    assert np.array_equal(line.sound(), samples_of(voices(3) * 2))
    assert counted(line, "timestamp_jumps") == 1


def test_timestamps_that_stand_still_cost_no_sound() -> None:
    line, sender = Line(), RtpSender()
    payloads = voices(20)
    packets = [(0.02 * n, sender.packet(payload)) for n, payload in enumerate(payloads)]
    line.receive(packets)
    assert np.array_equal(line.sound(), samples_of(payloads))


def test_where_timestamps_make_no_sense_the_arrivals_tell_of_a_pause() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.wait(2.0)
    sender.timestamp = 77
    line.receive(sender.voice(voices(3)))
    assert line.gaps() == [(3 * PACKET, 16_000, "silence")]
    line.check_contiguous()


def test_a_new_sender_goes_on_after_the_time_that_passed() -> None:
    line, first, second = Line(), RtpSender(1), RtpSender(2)
    line.receive(first.voice(voices(5)))
    second.now = first.now + 0.5
    line.receive(second.voice(voices(5)))
    assert [gap[1:] for gap in line.gaps()] == [(4000, "silence")]
    assert [frame.payload for frame in line.frames if not frame.concealed] == voices(5) * 2
    assert (counted(line, "senders"), counted(line, "ssrc"), line.receiver.resynchronisations) == (2, second.ssrc, 1)


# --- codecs --------------------------------------------------------------------------------------------------------


def test_the_payload_type_tells_the_codec_packet_by_packet() -> None:
    line, sender = Line(), RtpSender()
    sent = sender.voice(voices(2))
    sender.payload_type = 8
    sent += sender.voice(voices(2))
    line.receive([sent[n] for n in (0, 2, 1, 3)])
    expected = [decode_ulaw(b"".join(voices(2))), decode_alaw(b"".join(voices(2)))]
    assert np.array_equal(line.sound(), np.concatenate(expected))


def test_a_dynamic_type_is_what_it_was_said_to_be_and_l16_is_big_endian() -> None:
    line = Line(formats={96: RtpFormat("L16", 16_000)})
    samples = np.random.default_rng(1).integers(-20_000, 20_000, 5 * 320).astype(np.int16)
    sender = RtpSender(payload_type=96, clock_rate=16_000)
    line.receive(sender.voice(samples.astype(">i2")[at : at + 320].tobytes() for at in range(0, 1600, 320)))
    assert np.array_equal(line.sound(), samples)
    assert {frame.sample_rate for frame in line.frames} == {16_000}
    sender.wait(0.1)
    line.receive(sender.voice([bytes(640)]))
    assert line.gaps() == [(1600, 1600, "silence")]


def test_g722_has_half_as_many_ticks_as_samples() -> None:
    pytest.importorskip("av")
    line, sender = Line(), RtpSender(payload_type=9)
    sent = sender.voice(voices(3))
    sender.wait(0.1)
    line.receive(sent + sender.voice(voices(3)))
    assert [(frame.sample_rate, len(frame.samples)) for frame in line.frames[:3]] == [(16_000, 320)] * 3
    assert line.gaps() == [(960, 1600, "silence")]
    assert counted(line, "timestamp_jumps") == 0


def test_frames_keep_their_rate_whatever_codec_comes() -> None:
    line = Line(sample_rate=16_000)
    sender = RtpSender()
    line.receive(sender.voice(voices(3)))
    sender.wait(0.2)
    line.receive(sender.voice(voices(3)))
    assert [(frame.sample_rate, len(frame.samples)) for frame in line.frames][:3] == [(16_000, 320)] * 3
    assert line.gaps() == [(960, 3200, "silence")]
    line.check_contiguous()


def test_a_type_nobody_told_of_is_counted_and_is_no_loss() -> None:
    line, sender = Line(), RtpSender()
    sent = sender.voice(voices(2))
    sent += [(sender.now, sender.packet(b"?" * 20, payload_type=120)) for _ in range(3)]
    line.receive(sent + sender.voice(voices(2)))
    assert counted(line, "packets_of_unknown_type") == {"120": 3}
    assert (line.gaps(), line.receiver.describe()["packets_lost"]) == ([], 0)


def test_a_type_no_codec_is_here_for_is_a_problem_told_once() -> None:
    line = Line(formats={97: RtpFormat("SIREN14", 16_000)})
    assert line.receive(RtpSender(payload_type=97).voice(voices(3))) == []
    assert counted(line, "packets_of_unknown_type") == {"97": 3}
    (problem,) = line.receiver.problems
    assert problem.startswith("payload type 97: no codec for 'SIREN14'")


def test_an_empty_packet_keeps_the_line_open_and_says_nothing() -> None:
    line, sender = Line(), RtpSender()
    sent = sender.voice(voices(2))
    sent += [(sender.now, sender.packet(b""))]
    line.receive(sent + sender.voice(voices(2)))
    assert np.array_equal(line.sound(), samples_of(voices(2) * 2))
    assert counted(line, "packets_silent") == 1


# --- what is measured ----------------------------------------------------------------------------------------------


def test_jitter_is_that_of_rfc_3550() -> None:
    """Against the recurrence of section 6.4.1, in timestamp units, written out."""
    line, sender = Line(), RtpSender()
    chance = np.random.default_rng(3)
    arrivals = [(now + chance.uniform(0, 0.015), packet) for now, packet in sender.voice(voices(200))]
    line.receive(arrivals)
    jitter = 0.0
    for (before, earlier), (now, later) in pairwise(arrivals):
        step = (now - before) * 8000 - ((later.timestamp - earlier.timestamp) & 0xFFFFFFFF)
        jitter += (abs(step) - jitter) / 16
    assert line.receiver.describe()["jitter_ms"] == pytest.approx(jitter / 8, abs=0.001)
    assert 1 < jitter / 8 < 15


def test_a_pause_is_no_jitter() -> None:
    line, sender = Line(), RtpSender()
    line.receive(sender.voice(voices(20)))
    sender.wait(10)
    line.receive(sender.voice(voices(20)) + sender.press("1") + sender.voice(voices(5)))
    assert line.receiver.describe()["jitter_ms"] == 0


def test_the_description_is_json_from_the_beginning() -> None:
    line = Line()
    assert json.loads(json.dumps(line.receiver.describe())) == line.receiver.describe()
    line.receive(RtpSender().voice(voices(30)))
    described = line.receiver.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["rtp"]["packets_expected"] == described["packets_received"] == 30


# --- anything ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    script=st.lists(st.sampled_from(["voice", "voice", "voice", "wait", "noise", "key"]), min_size=1, max_size=12),
    lost=st.sampled_from([0.0, 0.05, 0.4]),
    doubled=st.sampled_from([0.0, 0.3]),
    late=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_whatever_the_network_does_what_came_in_time_stands_in_its_place(
    seed: int, script: list[str], lost: float, doubled: float, late: float
) -> None:
    """Voice, pauses, comfort noise and keys; packets late by up to 50 ms, within the window of 60."""
    sender = RtpSender(seed, sequence_number=65_500, timestamp=2**32 - 3000)
    begin, sent = sender.timestamp, sender.voice(voices(2, seed))
    for n, word in enumerate(script):
        match word:
            case "voice":
                sent += sender.voice(voices(5, seed + n))
            case "wait":
                sender.wait(0.15)
            case "noise":
                sent += sender.comfort_noise()
            case "key":
                sent += sender.press("0123456789*#"[n])
    sent += sender.voice(voices(2, seed + 99))
    arrivals = impair(sent, seed, lost=lost, doubled=doubled, late=late)
    line = Line()
    line.receive(arrivals)
    line.flush()

    line.check_contiguous()
    came = {packet.sequence_number: packet for _, packet in arrivals if packet.payload_type == 0}
    whole = line.sound()
    assert len(whole) == (sent[-1][1].timestamp - begin) % 2**32 + PACKET
    made_up = np.zeros(len(whole), bool)
    for gap in line.ledger.gaps:
        made_up[gap.position : gap.position + gap.length] = True
    heard = np.zeros(len(whole), bool)
    for packet in came.values():
        place = (packet.timestamp - begin) % 2**32
        assert np.array_equal(whole[place : place + PACKET], decode_ulaw(packet.payload))
        heard[place : place + PACKET] = True
    assert np.array_equal(heard, ~made_up), "each sample was heard, or is in the ledger"
    described = line.receiver.describe()
    assert described["packets_late"] == 0
    assert described["packets_received"] - described["packets_duplicated"] == len(came)
    assert counted(line, "timestamp_jumps") == 0
    assert sorted(set(line.digits)) == sorted(
        {"0123456789*#"[packet.payload[0]] for _, packet in arrivals if packet.payload_type == 101}
    )


@settings(deadline=None)
@given(
    packets=st.lists(
        st.tuples(
            st.builds(
                RtpPacket,
                payload_type=st.sampled_from([0, 0, 0, 8, 13, 101, 96, 97, 3]),
                sequence_number=st.integers(0, 20) | st.integers(0, 2**16 - 1),
                timestamp=st.integers(0, 4000) | st.integers(0, 2**32 - 1),
                ssrc=st.integers(0, 1),
                payload=st.binary(max_size=8) | st.just(bytes(160)),
                marker=st.booleans(),
            ),
            st.floats(0, 3),
        ),
        max_size=60,
    )
)
def test_no_packets_do_harm(packets: list[tuple[RtpPacket, float]]) -> None:
    line, now = Line(formats={96: RtpFormat("L16", 16_000), 97: RtpFormat("none", 1)}), 0.0
    for packet, delay in packets:
        now += delay
        line.pop_due(now)
        line.frames += line.receiver.pass_time(now=now)
        line.frames += line.receiver.push(packet, HERE, now=now)
    line.flush()
    if line.frames:
        line.check_contiguous()
        longest = sum(len(frame.samples) / frame.sample_rate for frame in line.frames)
        assert longest <= 2 * now + 60 * 5 + 2, (
            "no more silence than time has passed, no more loss than 250 packets each"
        )
    json.dumps(line.receiver.describe())
