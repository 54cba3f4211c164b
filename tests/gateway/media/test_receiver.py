import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
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
    assert receiver.describe() | {"ledger": None} == {
        "packets_received": 2,
        "packets_lost": 2,
        "packets_late": 0,
        "packets_duplicated": 0,
        "packets_reordered": 0,
        "resynchronisations": 0,
        "payloads_bad": 0,
        "frames_concealed": 2,
        "ledger": None,
    }
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
    assert receiver.frames_concealed == 0
    assert receiver.describe()["packets_reordered"] == 1


def test_noted_messages_are_not_missing() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    receiver.push(packet(1, number=2), now=0.0)
    receiver.note(3)
    (frame,) = receiver.push(packet(3, number=4), now=0.0)
    assert frame.timestamp == 160
    assert receiver.frames_concealed == 0


@pytest.mark.parametrize("payload", [b"", b"odd"])
def test_a_bad_payload_is_concealed_and_counted(payload: bytes) -> None:
    receiver = Receiver(l16, window=WINDOW)
    receiver.push(packet(1, b"\x00\x20" * 160), now=0.0)
    (frame,) = receiver.push(packet(2, payload), now=0.0)
    assert (frame.timestamp, len(frame.samples), frame.concealed, frame.payload) == (160, 160, True, b"")
    assert frame.samples.any()
    assert (receiver.payloads_bad, receiver.frames_concealed) == (1, 1)
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
    assert receiver.frames_concealed == len(concealed)
    marked = np.zeros(ends[-1], bool)
    for gap in receiver.ledger.gaps:
        marked[gap.position : gap.position + gap.length] = True
    np.testing.assert_array_equal(marked, np.concatenate([np.full(len(f.samples), f.concealed) for f in frames]))
    assert receiver.ledger.samples_total == np.count_nonzero(marked)
    counters = receiver.describe()
    assert receiver.frames_concealed == receiver.payloads_bad + counters["packets_lost"]


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
