import numpy as np
import pytest

from audio_codecs import Codec, CodecError, Samples, Wire, open_codec
from audio_codecs.amr_payload import AmrFrame, AmrPayload, build_payload, parse_payload
from audio_codecs.amr_wb import load_encoder
from tests.audio_codecs.vectors import payloads, rms, samples, snr

SPEECH = samples("speech_16000.wav")
NO_DATA, LOST, SID = AmrFrame(15, True, b""), AmrFrame(14, False, b""), AmrFrame(9, True, bytes(5))


def encoder_is_missing() -> str:
    try:
        load_encoder()
    except CodecError as error:
        return str(error)
    return ""


sends = pytest.mark.skipif(bool(encoder_is_missing()), reason=encoder_is_missing() or "it is there")


def decode(codec: Codec, packets: list[bytes]) -> Samples:
    return np.concatenate([codec.decode(packet) for packet in packets])


@pytest.mark.parametrize(("mode", "least"), [(0, 14), (2, 30), (8, 30)])
def test_decoding_gives_what_another_decoder_gives(mode: int, least: float) -> None:
    heard = decode(open_codec("AMR-WB", 16000), payloads(f"amr_wb_{mode}.rtp"))
    assert snr(heard, samples(f"amr_wb_{mode}_decoded.s16le")) > least


@pytest.mark.parametrize("mode", range(9))
def test_every_mode_is_the_speech_95_samples_later(mode: int) -> None:
    heard = decode(open_codec("AMR-WB", 16000), payloads(f"amr_wb_{mode}.rtp"))
    assert snr(heard, SPEECH, delay=95) > (6 if mode == 0 else 8)


def test_both_layouts_are_the_same_sound_and_told_apart() -> None:
    wire = Wire()
    codec = open_codec("AMR-WB", 16000, wire=wire)
    aligned = decode(codec, payloads("amr_wb_2.rtp"))
    assert wire.octet_aligned
    efficient = decode(open_codec("AMR-WB", 16000, wire=wire), payloads("amr_wb_2_efficient.rtp"))
    assert not wire.octet_aligned
    np.testing.assert_array_equal(efficient, aligned)


def test_several_frames_in_a_payload_are_heard_one_after_the_other() -> None:
    packets = payloads("amr_wb_2.rtp")
    frames = tuple(frame for packet in packets for frame in parse_payload(packet).frames)
    for octet_aligned in (False, True):
        together = build_payload(AmrPayload(frames, octet_aligned=octet_aligned))
        heard = open_codec("AMR-WB", 16000).decode(together)
        np.testing.assert_array_equal(heard, decode(open_codec("AMR-WB", 16000), packets))


@pytest.mark.parametrize("octet_aligned", [False, True])
@pytest.mark.parametrize("frame", [SID, NO_DATA])
def test_comfort_noise_and_no_data_are_20_ms_of_silence_and_speech_goes_on(
    frame: AmrFrame, octet_aligned: bool
) -> None:
    codec, packets = open_codec("AMR-WB", 16000), payloads("amr_wb_2.rtp")
    decode(codec, packets[:16])
    pause = codec.decode(build_payload(AmrPayload((frame,), octet_aligned=octet_aligned)))
    assert (pause.shape, bool(pause.any())) == ((320,), False)
    assert rms(decode(codec, packets[16:])) == pytest.approx(rms(decode(open_codec("AMR-WB", 16000), packets)), rel=0.5)


@pytest.mark.parametrize("frame", [LOST, AmrFrame(2, False, b"\x55" * 31 + b"\x50")])
def test_speech_that_was_lost_or_damaged_on_its_way_is_made_up(frame: AmrFrame) -> None:
    codec, packets = open_codec("AMR-WB", 16000), payloads("amr_wb_2.rtp")
    before = codec.decode(packets[0])
    for packet in packets[1:16]:
        before = codec.decode(packet)
    made = [codec.decode(build_payload(AmrPayload((frame,)))) for _ in range(4)]
    assert 0.2 * rms(before) < rms(made[0]) < 1.5 * rms(before)
    assert not made[3].any(), "it has faded out within 60 ms"
    assert codec.decode(packets[16]).any()


def test_a_packet_that_did_not_come_is_made_up_better_than_by_silence() -> None:
    packets = payloads("amr_wb_8.rtp")
    whole, concealing = open_codec("AMR-WB", 16000), open_codec("AMR-WB", 16000)
    assert concealing.conceal is not None
    for n, packet in enumerate(packets):
        expected = whole.decode(packet)
        if n % 8 != 6:
            concealing.decode(packet)
            continue
        made = concealing.conceal(320)
        sound, copy = (np.abs(np.fft.rfft(piece.astype(float))) for piece in (expected, made))
        assert np.linalg.norm(copy - sound) < 0.9 * np.linalg.norm(sound), "silence would be 1.0"


@pytest.mark.parametrize("count", [0, 1, 319, 320, 1600])
def test_any_number_of_samples_can_be_made_up(count: int) -> None:
    codec = open_codec("AMR-WB", 16000)
    assert codec.conceal is not None
    assert not codec.conceal(count).any()
    decode(codec, payloads("amr_wb_2.rtp")[:16])
    assert codec.conceal(count).shape == (count,)


@sends
@pytest.mark.parametrize("mode", range(9))
def test_what_is_sent_is_what_another_program_makes_of_it(mode: int) -> None:
    wire = Wire(octet_aligned=True)
    wire.mode_request = mode
    codec = open_codec("AMR-WB", 16000, wire=wire, to_send=True)
    assert [codec.encode(SPEECH[at : at + 320]) for at in range(0, len(SPEECH), 320)] == payloads(f"amr_wb_{mode}.rtp")


@sends
def test_what_is_sent_has_the_layout_and_the_mode_that_the_other_end_shows() -> None:
    wire = Wire()
    inbound, outbound = open_codec("AMR-WB", 16000, wire=wire), open_codec("AMR-WB", 16000, wire=wire, to_send=True)
    sent = parse_payload(outbound.encode(SPEECH[:320]))
    assert (sent.octet_aligned, sent.frames[0].frame_type) == (False, 2)
    heard = parse_payload(payloads("amr_wb_8.rtp")[0])
    inbound.decode(build_payload(AmrPayload(heard.frames, mode_request=5, octet_aligned=True)))
    sent = parse_payload(outbound.encode(SPEECH[:320]))
    assert (sent.octet_aligned, sent.frames[0].frame_type) == (True, 5)


@sends
def test_a_longer_piece_is_one_payload_of_several_frames() -> None:
    codec = open_codec("AMR-WB", 16000, to_send=True)
    assert len(parse_payload(codec.encode(SPEECH[:1600])).frames) == 5


def test_without_the_library_sending_is_refused_with_what_to_install() -> None:
    with pytest.raises(CodecError, match=r"cannot be sent without libnothing\.so\.0.*apt-get install libvo-amrwbenc0"):
        load_encoder("libnothing.so.0")
