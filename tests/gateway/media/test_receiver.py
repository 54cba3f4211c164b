import dataclasses
import json
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_codecs import Codec, Samples, decode_ulaw, open_codec
from gateway.media.frame import AudioFrame
from gateway.media.receiver import Receiver
from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

WINDOW = 0.06
pcmu: Callable[[], Codec] = partial(open_codec, "PCMU", 8000)
l16: Callable[[], Codec] = partial(open_codec, "L16", 16000)


def voice(chunk: int, octets: int = 160) -> bytes:
    """A PCMU payload of its own for each chunk, well above silence."""
    return np.random.default_rng(chunk).integers(0, 60, octets, np.uint8).tobytes()


def packet(chunk: int, payload: bytes | None = None, track: Track = "inbound", number: int = 0) -> MediaReceived:
    return MediaReceived(track, number or chunk + 1, chunk, 20 * chunk, voice(chunk) if payload is None else payload)


def concealed_by(receiver: Receiver) -> int:
    """How many frames it made up."""
    count: int = receiver.describe()["frames_concealed"]
    return count


def sound(frames: list[AudioFrame]) -> Samples:
    return np.concatenate([frame.samples for frame in frames])


def test_a_packet_becomes_a_frame_at_once() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    (frame,) = receiver.push(packet(1), now=0.0)
    assert (frame.track, frame.sample_rate, frame.timestamp, frame.concealed) == ("inbound", 8000, 0, False)
    assert frame.payload == voice(1)
    np.testing.assert_array_equal(frame.samples, decode_ulaw(voice(1)))
    assert receiver.position("inbound") == 160


def test_timestamps_count_samples_per_track() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    frames = [
        *receiver.push(packet(1, voice(1, 160), number=2), now=0.0),
        *receiver.push(packet(1, voice(2, 240), "outbound", 3), now=0.0),
        *receiver.push(packet(2, voice(3, 80), number=4), now=0.0),
        *receiver.push(packet(2, voice(4, 160), "outbound", 5), now=0.0),
    ]
    places = [(frame.track, frame.timestamp, len(frame.samples)) for frame in frames]
    assert places == [("inbound", 0, 160), ("outbound", 0, 240), ("inbound", 160, 80), ("outbound", 240, 160)]
    assert (receiver.position("inbound"), receiver.position("outbound")) == (240, 400)


def test_a_track_that_was_never_heard_is_at_position_0() -> None:
    assert Receiver(pcmu, window=WINDOW).position("outbound") == 0


def test_each_track_has_a_codec_of_its_own() -> None:
    opened = []

    def open_one() -> Codec:
        opened.append(codec := pcmu())
        return codec

    receiver = Receiver(open_one, window=WINDOW)
    assert not opened
    for n, track in enumerate(("inbound", "outbound", "inbound", "outbound")):
        receiver.push(packet(n // 2 + 1, track="inbound" if track == "inbound" else "outbound", number=n + 2), now=0.0)
    assert len(opened) == 2


def test_a_lost_packet_is_concealed_in_its_place() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1), now=0.0)
    assert receiver.push(packet(4), now=1.0) == []
    assert receiver.deadline() == pytest.approx(1.0 + WINDOW)
    frames = list(receiver.pop(now=1.0 + WINDOW))
    assert [(frame.timestamp, frame.concealed) for frame in frames] == [(160, True), (320, True), (480, False)]
    assert [frame.payload for frame in frames] == [b"", b"", voice(4)]
    assert frames[0].samples.any()
    described = receiver.describe()
    counted = {name: count for name, count in described.items() if count and isinstance(count, int)}
    assert counted == {"packets_received": 2, "packets_lost": 2, "frames_concealed": 2}
    assert described["tracks"]["inbound"] | counted == described["tracks"]["inbound"], "it was all this track's"
    assert receiver.describe()["ledger"]["gaps"] == [
        {"track": "inbound", "position": 160, "length": 320, "cause": "lost"}
    ]


def test_a_hole_longer_than_the_fade_ends_in_silence() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1), now=0.0)
    receiver.push(packet(11), now=0.0)
    frames = list(receiver.flush())
    assert [frame.samples.any() for frame in frames] == [True] * 3 + [False] * 6 + [True]
    assert receiver.position("inbound") == 11 * 160


def test_a_packet_within_the_window_is_heard_and_not_concealed() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    frames = [frame for chunk in (1, 3, 2, 4) for frame in receiver.push(packet(chunk), now=0.0)]
    np.testing.assert_array_equal(sound(frames), decode_ulaw(b"".join(map(voice, (1, 2, 3, 4)))))
    assert concealed_by(receiver) == 0
    assert receiver.describe()["packets_reordered"] == 1


def test_noted_messages_are_not_missing() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1, number=2), now=0.0)
    receiver.note(3)
    (frame,) = receiver.push(packet(3, number=4), now=0.0)
    assert frame.timestamp == 160
    assert concealed_by(receiver) == 0


@pytest.mark.parametrize("payload", [b"", b"odd"])
def test_a_bad_payload_is_concealed_and_counted(payload: bytes) -> None:
    receiver = Receiver(l16, window=WINDOW)
    receiver.push(packet(1, b"\x00\x20" * 160), now=0.0)
    (frame,) = receiver.push(packet(2, payload), now=0.0)
    assert (frame.timestamp, len(frame.samples), frame.concealed, frame.payload) == (160, 160, True, b"")
    assert frame.samples.any()
    assert (receiver.payloads_bad, concealed_by(receiver)) == (1, 1)
    assert [gap.cause for gap in receiver.ledger.gaps] == ["bad_payload"]
    (frame,) = receiver.push(packet(3, b"\x00\x20" * 160), now=0.0)
    assert (frame.timestamp, frame.concealed) == (320, False)


def test_a_bad_payload_before_any_good_one_is_20_ms_of_silence() -> None:
    receiver = Receiver(l16, window=WINDOW)
    (frame,) = receiver.push(packet(1, b"odd"), now=0.0)
    assert (frame.timestamp, len(frame.samples), frame.concealed) == (0, 320, True)
    assert not frame.samples.any()


def test_made_up_sound_has_the_packet_time_of_the_good() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1, voice(1, 240)), now=0.0)
    receiver.push(packet(3, voice(3, 240)), now=0.0)
    assert [len(frame.samples) for frame in receiver.flush()] == [240, 240]


def test_a_huge_packet_does_not_make_lost_ones_huge() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1, bytes(700_000)), now=0.0)
    receiver.push(packet(252), now=0.0)
    frames = list(receiver.flush())
    assert len(frames) == 251
    assert {len(frame.samples) for frame in frames[:-1]} == {800}


def rfc_3550_jitter(arrivals: list[tuple[float, MediaReceived]], step: int = 1) -> float:
    """Appendix A.8 in milliseconds, with the chunk as timestamp: `step` chunks are 20 ms."""
    jitter = 0.0
    for (before, earlier), (now, later) in pairwise(arrivals):
        deviation = (now - before) - 0.02 * (later.chunk - earlier.chunk) / step
        jitter += (abs(deviation) - jitter) / 16
    return 1000 * jitter


def test_jitter_is_that_of_rfc_3550_also_across_losses_and_changed_places() -> None:
    chance = random.Random(7)
    arrivals = [
        (0.02 * n + chance.uniform(0, 0.05), packet(n)) for n in range(1, 300) if n < 3 or chance.random() < 0.9
    ]
    arrivals.sort(key=lambda arrival: arrival[0])
    receiver = Receiver(pcmu, window=WINDOW)
    for now, one in arrivals:
        receiver.pop(now=now)
        receiver.push(one, now=now)
    counted = receiver.describe()["tracks"]["inbound"]
    assert counted["packets_reordered"] > 20
    assert counted["packets_lost"] > 20
    assert counted["jitter_ms"] == pytest.approx(rfc_3550_jitter(arrivals), abs=0.001)
    assert 10 < counted["jitter_ms"] < 40


@pytest.mark.parametrize("shared", [True, False])
def test_each_track_has_its_own_jitter_however_chunks_are_counted(shared: bool) -> None:
    chance = random.Random(8)
    inbound, outbound = list[tuple[float, MediaReceived]](), list[tuple[float, MediaReceived]]()
    for n in range(100):
        chunk = 2 * n + 1 if shared else n + 1
        inbound.append((0.02 * n + chance.uniform(0, 0.004), packet(chunk, track="inbound", number=2 * n + 2)))
        outbound.append((0.02 * n + 0.01, packet(chunk + shared, track="outbound", number=2 * n + 3)))
    receiver = Receiver(pcmu, window=WINDOW)
    for now, one in sorted(inbound + outbound, key=lambda arrival: arrival[0]):
        receiver.push(one, now=now)
    tracks = receiver.describe()["tracks"]
    assert tracks["inbound"]["jitter_ms"] == pytest.approx(rfc_3550_jitter(inbound, 1 + shared), abs=0.001)
    assert tracks["outbound"]["jitter_ms"] == 0


def test_a_count_that_jumps_is_no_jitter() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    for n, one in enumerate([packet(1), packet(2), packet(1_000_000), packet(1_000_001)]):
        receiver.push(one, now=0.02 * n)
    assert receiver.describe()["tracks"]["inbound"]["jitter_ms"] == 0


def test_one_packet_of_five_tells_the_level() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    for n in range(1, 51):
        loud = n % 5 == 1
        receiver.push(MediaReceived("inbound", n + 1, n, 0, (b"\x80" if loud else b"\xff") * 160), now=0.02 * n)
    measured = receiver.describe()["tracks"]["inbound"]
    assert (measured["clipped_share"], measured["silence_share"]) == (1.0, 0.0)


def test_a_call_without_a_fault_has_the_best_score_of_telephony() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    for n in range(1, 101):
        receiver.push(packet(n), now=0.02 * n)
    measured = receiver.describe()["tracks"]["inbound"]
    assert (measured["r_factor"], measured["mos"]) == (93.2, 4.41)
    samples = decode_ulaw(b"".join(map(voice, range(1, 101)))).astype(float)
    assert measured["level_dbfs"] == pytest.approx(20 * np.log10(np.sqrt(np.mean(samples**2)) / 32768), abs=0.06)
    assert (measured["silence_share"], measured["jitter_ms"]) == (0, 0)


@pytest.mark.parametrize(
    ("lost", "r_factor"),
    # R = 93.2 - 95 p / (p / b + 25.1): p percent lost, b how much longer than by chance the bursts are.
    [
        ([20, 40, 60, 80], 93.2 - 95 * 4 / (4 + 25.1)),
        ([40, 41, 42, 43], 93.2 - 95 * 4 / (4 / (4 * 0.96) + 25.1)),
    ],
)
def test_loss_costs_what_the_e_model_says_and_in_bursts_more(lost: list[int], r_factor: float) -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    for n in range(1, 101):
        if n not in lost:
            receiver.push(packet(n), now=0.02 * n)
        receiver.pop(now=0.02 * n)
    receiver.flush()
    measured = receiver.describe()["tracks"]["inbound"]
    assert measured["r_factor"] == pytest.approx(r_factor, abs=0.06)
    assert measured["loss_bursts"] == (4 if lost[1] - lost[0] > 1 else 1)


def test_bad_payloads_cost_as_much_as_lost_packets() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    for n in range(1, 101):
        receiver.push(packet(n, b"" if n in (20, 40, 60, 80) else None), now=0.02 * n)
    assert receiver.describe()["tracks"]["inbound"]["r_factor"] == pytest.approx(93.2 - 95 * 4 / 29.1, abs=0.06)


def test_a_codec_the_e_model_knows_nothing_of_has_no_score() -> None:
    receiver = Receiver(lambda: dataclasses.replace(pcmu(), encoding="OPUS"), window=WINDOW)
    receiver.push(packet(1), now=0.0)
    measured = receiver.describe()["tracks"]["inbound"]
    assert (measured["r_factor"], measured["mos"]) == (None, None)


def test_the_description_is_json() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1), now=0.0)
    receiver.push(packet(2, b""), now=0.0)
    assert json.loads(json.dumps(receiver.describe())) == receiver.describe()


@given(
    fates=st.lists(
        st.tuples(st.lists(st.floats(0, 0.2), max_size=2), st.sampled_from([80, 160, 160, 160, 0])), max_size=40
    )
)
def test_whatever_comes_the_time_line_is_whole_and_the_ledger_tells_what_is_not_heard(
    fates: list[tuple[list[float], int]],
) -> None:
    """Each packet comes never, once or twice, each time with a delay of its own; some payloads are bad."""
    packets = [packet(1), *(packet(n, voice(n, octets)) for n, (_, octets) in enumerate(fates, start=2))]
    arrivals = [(0.0, packets[0])]
    for n, (delays, _) in enumerate(fates, start=1):
        arrivals += [(0.02 * n + delay, packets[n]) for delay in delays]
    receiver, frames = Receiver(pcmu, window=WINDOW), list[AudioFrame]()
    for now, one in sorted(arrivals, key=lambda arrival: arrival[0]):
        while (due := receiver.deadline()) is not None and due < now:
            frames += receiver.pop(now=due)
        frames += receiver.push(one, now=now)
    frames += receiver.flush()

    ends = np.cumsum([len(frame.samples) for frame in frames]).tolist()
    assert [frame.timestamp for frame in frames] == [0, *ends[:-1]]
    assert receiver.position("inbound") == ends[-1]

    last = max(one.chunk for _, one in arrivals)
    assert len(frames) == last, "one frame for each packet up to the last that came"
    for one, frame in zip(packets, frames, strict=False):
        if frame.concealed:
            assert frame.payload == b""
        else:
            assert frame.payload == one.payload
            np.testing.assert_array_equal(frame.samples, decode_ulaw(one.payload))
        in_time = any(delay < WINDOW for delay in fates[one.chunk - 2][0]) if one.chunk > 1 else True
        if in_time and one.payload:
            assert not frame.concealed

    concealed = [frame for frame in frames if frame.concealed]
    assert concealed_by(receiver) == len(concealed)
    marked = np.zeros(ends[-1], bool)
    for gap in receiver.ledger.gaps:
        marked[gap.position : gap.position + gap.length] = True
    np.testing.assert_array_equal(marked, np.concatenate([np.full(len(f.samples), f.concealed) for f in frames]))
    assert receiver.ledger.samples_total == np.count_nonzero(marked)
    counters = receiver.describe()
    assert concealed_by(receiver) == receiver.payloads_bad + counters["packets_lost"]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(4, 80),
    lost=st.sampled_from([0.0, 0.02, 0.2, 0.7]),
    doubled=st.sampled_from([0.0, 0.2]),
    shared=st.booleans(),
)
def test_what_came_in_time_is_in_its_place_and_each_frame_is_accounted_for(
    seed: int, count: int, lost: float, doubled: float, shared: bool
) -> None:
    """Two tracks in turn, chunks counted per stream or per track; any order within the window, any loss, any doubles.

    The first four packets come as they were sent: they show how chunks are counted.
    """
    chance = random.Random(seed)
    tracks: tuple[Track, Track] = ("inbound", "outbound")
    sent = [packet(n + 1 if shared else n // 2 + 1, voice(n), tracks[n % 2], n + 2) for n in range(count)]
    arrivals = [(0.01 * n, one) for n, one in enumerate(sent[:4])]
    for n, one in enumerate(sent[4:], start=4):
        if chance.random() >= lost:
            copies = 2 if chance.random() < doubled else 1
            arrivals += [(0.01 * n + chance.uniform(0, 0.0599), one) for _ in range(copies)]
    receiver, frames = Receiver(pcmu, window=WINDOW), list[AudioFrame]()
    for now, one in sorted(arrivals, key=lambda arrival: arrival[0]):
        while (due := receiver.deadline()) is not None and due < now:
            frames += receiver.pop(now=due)
        frames += receiver.push(one, now=now)
    frames += receiver.flush()

    came = {one.sequence_number for _, one in arrivals}
    described = receiver.describe()
    for track in tracks:
        last = max(n for n, one in enumerate(sent) if one.sequence_number in came and (shared or one.track == track))
        its_own = [one for one in sent[: last + 1] if one.track == track]
        its_frames = [frame for frame in frames if frame.track == track]
        assert [frame.timestamp for frame in its_frames] == [160 * n for n in range(len(its_own))], "the right length"
        for one, frame in zip(its_own, its_frames, strict=True):
            assert frame.concealed == (one.sequence_number not in came)
            if not frame.concealed:
                np.testing.assert_array_equal(frame.samples, decode_ulaw(one.payload))
        gaps = [gap for gap in receiver.ledger.gaps if gap.track == track]
        missing = [160 * n for n, one in enumerate(its_own) if one.sequence_number not in came]
        assert [at for gap in gaps for at in range(gap.position, gap.position + gap.length, 160)] == missing
        counted = described["tracks"][track]
        assert counted["packets_lost"] == counted["frames_concealed"] == len(missing)
        assert counted["packets_received"] == sum(one.track == track for _, one in arrivals)
        assert counted["packets_received"] == len(its_own) - len(missing) + counted["packets_duplicated"]
        assert counted["packets_late"] == 0
    assert described["resynchronisations"] == 0


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["inbound", "outbound"]),
            st.integers(0, 2**63 - 1) | st.integers(0, 300),
            st.integers(0, 2**63 - 1) | st.integers(0, 300),
            st.binary(max_size=200),
        ),
        max_size=30,
    )
)
def test_no_packets_do_harm(steps: list[tuple[Track, int, int, bytes]]) -> None:
    receiver, positions = Receiver(l16, window=WINDOW), {"inbound": 0, "outbound": 0}
    frames = list[AudioFrame]()
    for n, (track, number, chunk, payload) in enumerate(steps):
        frames += receiver.pop(now=0.02 * n)
        frames += receiver.push(MediaReceived(track, number, chunk, 0, payload), now=0.02 * n)
    frames += receiver.flush()
    for frame in frames:
        assert frame.timestamp == positions[frame.track]
        positions[frame.track] += len(frame.samples)
    assert positions == {"inbound": receiver.position("inbound"), "outbound": receiver.position("outbound")}
