import json

import pytest

from audio_codecs import ByteOrder, ByteOrderSetting, Wire, decode_l16, encode_l16, open_codec
from tests.audio_codecs.vectors import samples

SPEECH = samples("speech_8000.wav")
FRAMES = [SPEECH[at : at + 160] for at in range(0, len(SPEECH), 160)]


@pytest.mark.parametrize("heard", ["little", "big"])
@pytest.mark.parametrize(
    ("setting", "used", "wrong"),
    [("little", {"little"}, {"big"}), ("big", {"big"}, {"little"}), ("auto", {"little", "big"}, set[str]())],
)
def test_what_is_set_is_obeyed_and_auto_follows_the_sound(
    setting: ByteOrderSetting, used: set[ByteOrder], wrong: set[ByteOrder], heard: ByteOrder
) -> None:
    told: list[Wire] = []
    wire = Wire(setting, on_byte_order=told.append)
    codec = open_codec("L16", 8000, wire=wire)
    for frame in FRAMES:
        decoded = codec.decode(encode_l16(frame, heard))
    order = heard if heard in used else setting
    assert (
        decoded.tolist() == decode_l16(encode_l16(FRAMES[-1], heard), "little" if order == "little" else "big").tolist()
    )
    assert (wire.byte_order, wire.byte_order_heard) == (order, heard)
    assert wire.byte_order_wrong is (heard in wrong)
    assert told == [wire], "told once"


def test_auto_begins_as_little_and_corrects_within_200_ms_of_sound() -> None:
    wire = Wire("auto")
    codec = open_codec("L16", 8000, wire=wire)
    silence = bytes(320)
    for _ in range(100):
        codec.decode(silence)
    assert (wire.byte_order, wire.byte_order_heard) == ("little", None)
    right = [codec.decode(encode_l16(frame, "big")).tolist() == frame.tolist() for frame in FRAMES]
    first = right.index(True)
    assert first < 10
    assert all(right[first:])


@pytest.mark.parametrize("setting", ["little", "auto"])
def test_what_is_sent_follows_what_is_in_use(setting: ByteOrderSetting) -> None:
    wire = Wire(setting)
    inbound, outbound = open_codec("L16", 8000, wire=wire), open_codec("L16", 16000, wire=wire)
    assert outbound.encode(FRAMES[9]) == encode_l16(FRAMES[9], "little")
    for frame in FRAMES:
        inbound.decode(encode_l16(frame, "big"))
    assert outbound.encode(FRAMES[9]) == encode_l16(FRAMES[9], "big" if setting == "auto" else "little")


def test_the_other_track_goes_on_in_the_order_that_one_track_has_shown() -> None:
    wire = Wire("auto")
    one, other = open_codec("L16", 8000, wire=wire), open_codec("L16", 8000, wire=wire)
    other.decode(bytes(320))
    for frame in FRAMES:
        one.decode(encode_l16(frame, "big"))
    assert other.decode(encode_l16(FRAMES[9], "big")).tolist() == FRAMES[9].tolist()


def test_the_description_is_json() -> None:
    wire = Wire("auto", octet_aligned=True)
    expected = {"l16_byte_order": "little", "l16_byte_order_heard": None, "amr_wb_octet_aligned": True}
    assert json.loads(json.dumps(wire.describe())) == expected
