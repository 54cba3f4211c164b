"""Recorded speech in a text."""

import base64

import numpy as np
import pytest

from gateway.simulator.speech import decode_speech
from gateway.simulator.wav import write_wav

from .application import speech


def test_base64_of_a_wav_file() -> None:
    text = base64.b64encode(write_wav(speech(0.1), sample_rate=8000)).decode()
    np.testing.assert_array_equal(decode_speech(text), speech(0.1))


@pytest.mark.parametrize(("text", "words"), [("?", "not base64"), ("", "not a WAV"), ("QUJD", "not a WAV")])
def test_anything_else_says_what_it_is(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_speech(text)
