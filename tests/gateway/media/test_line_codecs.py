"""Each codec on a track's time line: what is lost, what pauses, and what is no sound at all."""

import numpy as np
import pytest

from audio_codecs import CodecError, Samples, open_codec
from gateway.media.frame import AudioFrame
from gateway.media.receiver import Receiver
from gateway.protocol.stream import MediaReceived
from tests.audio_codecs.vectors import payloads, rms, samples

SPEECH = {8000: samples("speech_8000.wav"), 16_000: samples("speech_16000.wav")}
ALL = [("PCMU", 8000), ("PCMA", 8000), ("L16", 16_000), ("G722", 8000), ("OPUS", 16_000), ("AMR-WB", 16_000)]


def encode(encoding: str, clock_rate: int) -> list[bytes]:
    try:
        codec = open_codec(encoding, clock_rate, to_send=True)
    except CodecError:
        return payloads("amr_wb_2.rtp")  # decoding is always there
    speech, frame = SPEECH[codec.sample_rate], codec.sample_rate // 50
    return [codec.encode(speech[at : at + frame]) for at in range(0, len(speech), frame)]


def receive(encoding: str, clock_rate: int, packets: dict[int, bytes]) -> tuple[Receiver, list[AudioFrame]]:
    """Packets by their chunk; what is not there is lost."""
    receiver, frames = Receiver(lambda: open_codec(encoding, clock_rate), window=0.06), list[AudioFrame]()
    for chunk, payload in sorted(packets.items()):
        now = 0.02 * chunk
        frames += receiver.pop(now=now)
        frames += receiver.push(MediaReceived("inbound", chunk + 1, chunk, 20 * chunk, payload), now=now)
    return receiver, [*frames, *receiver.flush()]


def sound(frames: list[AudioFrame]) -> Samples:
    return np.concatenate([frame.samples for frame in frames])


@pytest.mark.parametrize(("encoding", "clock_rate"), ALL)
def test_a_lost_packet_is_made_up_and_what_follows_it_is_sane(encoding: str, clock_rate: int) -> None:
    packets = dict(enumerate(encode(encoding, clock_rate), start=1))
    _, whole = receive(encoding, clock_rate, packets)
    lost = [chunk for chunk in packets if chunk % 7 == 4 and 4 < chunk < 30]
    receiver, frames = receive(encoding, clock_rate, {n: packets[n] for n in packets if n not in lost})
    assert [frame.concealed for frame in frames] == [chunk in lost for chunk in packets]
    assert {len(frame.samples) for frame in frames} == {frames[0].sample_rate // 50}
    assert receiver.describe()["packets_lost"] == len(lost)
    made = sound([frame for frame in frames if frame.concealed])
    missing = sound([frame for frame, chunk in zip(whole, packets, strict=True) if chunk in lost])
    assert 0.3 * rms(missing) < rms(made) < 1.5 * rms(missing)
    assert np.abs(sound(frames).astype(int)).max() < 1.5 * np.abs(sound(whole).astype(int)).max()


@pytest.mark.parametrize(("encoding", "clock_rate"), ALL)
def test_half_a_second_of_loss_falls_silent_and_speech_comes_back(encoding: str, clock_rate: int) -> None:
    speech = encode(encoding, clock_rate)
    packets = dict(enumerate(speech[:16], start=1)) | dict(enumerate(speech, start=41))
    _, frames = receive(encoding, clock_rate, packets)
    concealed = [frame for frame in frames if frame.concealed]
    assert len(concealed) == 24
    assert rms(sound(concealed[-5:])) < 0.1 * rms(SPEECH[frames[0].sample_rate])
    _, fresh = receive(encoding, clock_rate, dict(enumerate(speech, start=1)))
    back, expected = sound(frames[40:]), sound(fresh)
    assert rms(back) == pytest.approx(rms(expected), rel=0.1)
    assert np.abs(back.astype(int)).max() < 1.2 * np.abs(expected.astype(int)).max(), "no blast as it comes back"


@pytest.mark.parametrize("payload", [b"\x28", b"\x28\x3c\x80\x7f\x81\x7f\x80\x7f\x7f\x80\x7f"])
@pytest.mark.parametrize(("encoding", "clock_rate"), [("PCMU", 8000), ("PCMA", 8000), ("G722", 8000)])
def test_a_packet_of_comfort_noise_is_20_ms_of_it(encoding: str, clock_rate: int, payload: bytes) -> None:
    speech = encode(encoding, clock_rate)
    packets = dict(enumerate([*speech[:5], payload, *speech[5:10]], start=1))
    receiver, frames = receive(encoding, clock_rate, packets)
    noise = frames[5]
    assert {len(frame.samples) for frame in frames} == {noise.sample_rate // 50}
    assert 20 * np.log10(rms(noise.samples) / 32767) == pytest.approx(-40, abs=0.2)
    assert (noise.concealed, noise.payload) == (False, payload)
    report = receiver.describe()
    assert (report["payloads_bad"], report["frames_concealed"], report["ledger"]["gaps"]) == (0, 0, [])
    assert report["tracks"]["inbound"]["packets_comfort_noise"] == 1


def test_a_stream_that_begins_with_comfort_noise_has_20_ms_of_it() -> None:
    _, frames = receive("PCMU", 8000, {1: b"\x28"})
    assert [len(frame.samples) for frame in frames] == [160]


def test_a_pause_of_opus_is_neither_bad_nor_concealed() -> None:
    receiver, frames = receive("OPUS", 16_000, dict(enumerate(payloads("opus_dtx.rtp"), start=1)))
    assert {len(frame.samples) for frame in frames} == {320}
    report = receiver.describe()
    assert (report["payloads_bad"], report["frames_concealed"]) == (0, 0)


@pytest.mark.parametrize("pause", [b"\xf0\x4c" + bytes(5), b"\xf0\x7c"], ids=["SID", "no data"])
def test_a_pause_of_amr_wb_is_neither_bad_nor_concealed(pause: bytes) -> None:
    speech = payloads("amr_wb_2.rtp")
    packets = dict(enumerate([*speech[:16], pause, pause, *speech[16:]], start=1))
    receiver, frames = receive("AMR-WB", 16_000, packets)
    assert {len(frame.samples) for frame in frames} == {320}
    assert not sound(frames[16:18]).any()
    report = receiver.describe()
    assert (report["payloads_bad"], report["frames_concealed"]) == (0, 0)


def test_the_report_tells_of_the_wire_where_the_codec_leaves_something_open() -> None:
    receiver, _ = receive("AMR-WB", 16_000, dict(enumerate(payloads("amr_wb_2.rtp"), start=1)))
    assert receiver.describe()["wire"]["amr_wb_octet_aligned"] is True
    receiver, _ = receive("PCMU", 8000, {1: bytes(160)})
    assert receiver.describe()["wire"] is None
