import numpy as np
import pytest

from audio_codecs import CodecError, Samples, open_codec
from tests.audio_codecs.vectors import payloads, rms, samples, snr

RATES = [8000, 16000, 24000, 48000]


def decode(name: str, rate: int) -> Samples:
    codec = open_codec("OPUS", rate)
    return np.concatenate([codec.decode(payload) for payload in payloads(name)])


@pytest.mark.parametrize("band", [8000, 16000, 48000])
def test_decoding_gives_another_programs_samples(band: int) -> None:
    expected = samples(f"opus_{band}_decoded.s16le")
    heard = decode(f"opus_{band}.rtp", 48000)[: len(expected)]
    assert np.abs(heard.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("rate", "least"), [(8000, 30), (16000, 50), (24000, 80)])
def test_a_lower_rate_is_the_same_sound_16_samples_later(rate: int, least: float) -> None:
    heard = decode("opus_16000.rtp", rate)
    assert len(heard) == 33 * rate // 50
    assert snr(heard, samples(f"opus_16000_at_{rate}.s16le"), delay=16) > least


@pytest.mark.parametrize("rate", [8000, 16000])
def test_speech_is_understood_as_it_was_said(rate: int) -> None:
    sender, speech, frame = open_codec("OPUS", rate), samples(f"speech_{rate}.wav"), rate // 50
    receiver = open_codec("OPUS", rate)
    packets = [sender.encode(speech[at : at + frame]) for at in range(0, len(speech), frame)]
    assert all(20 < len(packet) < 120 for packet in packets)
    heard = np.concatenate([receiver.decode(packet) for packet in packets])
    assert max(snr(heard, speech, delay=delay) for delay in range(rate // 50)) > 5
    assert rms(heard) == pytest.approx(rms(speech), rel=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_a_pause_comes_in_packets_of_one_octet_and_is_sound_of_the_same_length(rate: int) -> None:
    packets = payloads("opus_dtx.rtp")
    pause = [n for n, packet in enumerate(packets) if len(packet) == 1]
    assert len(pause) > 20
    codec = open_codec("OPUS", rate)
    heard = [codec.decode(packet) for packet in packets]
    assert {len(piece) for piece in heard} == {rate // 50}
    assert rms(np.concatenate([heard[n] for n in pause])) < 20
    assert rms(np.concatenate(heard[: pause[0] // 2])) > 500


@pytest.mark.parametrize("rate", RATES)
def test_what_is_lost_is_made_up_by_the_decoder_and_fades(rate: int) -> None:
    codec, packets = open_codec("OPUS", rate), payloads("opus_16000.rtp")
    assert codec.conceal is not None
    before = [codec.decode(packet) for packet in packets[:16]][-1]
    made = [codec.conceal(rate // 50) for _ in range(25)]
    assert {(piece.dtype.str[1:], len(piece)) for piece in made} == {("i2", rate // 50)}
    assert 0.3 * rms(before) < rms(made[0]) < 1.5 * rms(before)
    assert rms(made[-1]) < 0.1 * rms(made[0])


def test_making_up_a_lost_packet_is_better_than_silence_and_leaves_the_rest_better() -> None:
    packets = payloads("opus_16000.rtp")
    whole = decode("opus_16000.rtp", 16000)
    concealing, silent = open_codec("OPUS", 16000), open_codec("OPUS", 16000)
    assert concealing.conceal is not None
    made, missing = list[Samples](), list[Samples]()
    for n, packet in enumerate(packets):
        lost = n % 6 == 5
        made.append(concealing.conceal(320) if lost else concealing.decode(packet))
        missing.append(np.zeros(320, np.int16) if lost else silent.decode(packet))
    assert snr(np.concatenate(made), whole) > snr(np.concatenate(missing), whole) + 3


@pytest.mark.parametrize("count", [0, 1, 40, 100, 320, 321, 1600])
def test_any_number_of_samples_can_be_made_up(count: int) -> None:
    codec = open_codec("OPUS", 16000)
    assert codec.conceal is not None
    nothing_heard = codec.conceal(count)
    assert (nothing_heard.shape, bool(nothing_heard.any())) == ((count,), False)
    for packet in payloads("opus_16000.rtp")[:16]:
        codec.decode(packet)
    assert codec.conceal(count).shape == (count,)
    assert codec.decode(payloads("opus_16000.rtp")[16]).shape == (320,)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_packet_of_several_frames_or_of_a_short_one_is_as_long_as_it_says(rate: int, frames: int) -> None:
    one = payloads("opus_16000.rtp")[5]
    # RFC 6716 section 3.2.5: code 3, constant bit rate, the count, then as many frames of one length.
    packet = bytes((one[0] | 3, frames)) + frames * one[1:]
    assert open_codec("OPUS", rate).decode(packet).shape == (frames * rate // 50,)
    celt_2_5_ms = bytes((28 << 3, 1, 2, 3, 4, 5, 6, 7))
    assert open_codec("OPUS", rate).decode(celt_2_5_ms).shape == (rate // 400,)


def test_stereo_is_mixed_to_mono() -> None:
    mono = payloads("opus_16000.rtp")[0]
    stereo = bytes((mono[0] | 4,)) + mono[1:]
    assert open_codec("OPUS", 16000).decode(stereo).shape == (320,)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x03", b"\x03\xff", bytes(2000)])
def test_what_is_no_packet_is_a_codec_error_and_the_next_one_is_decoded(payload: bytes) -> None:
    codec, packets = open_codec("OPUS", 16000), payloads("opus_16000.rtp")
    for packet in packets[:10]:
        codec.decode(packet)
    with pytest.raises(CodecError, match="OPUS payload"):
        codec.decode(payload)
    assert rms(codec.decode(packets[10])) > 100


def test_a_message_holds_one_packet_of_20_ms() -> None:
    codec = open_codec("OPUS", 16000)
    with pytest.raises(CodecError, match="20 ms in a packet, 320 samples, not 640"):
        codec.encode(np.zeros(640, np.int16))
