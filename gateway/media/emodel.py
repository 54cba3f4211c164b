"""The E-model: what people would think of a connection, from what is known of it.

It adds up what harms a telephone call to a rating R (100 is perfect, 93.2 an undisturbed connection of today's
telephone network, below 50 nobody should be asked to bear), which stands for a mean opinion score from 1 (bad) to 4.5
(excellent). Only loss, delay and codec are known here; every other parameter has its default value, so their share
of R is a constant, computed once. The model is for narrowband speech.

Source: ITU-T G.107 (06/2015), section 7 and annex B; codecs from ITU-T G.113 (11/2007), appendix I.
"""

import math
from functools import cache
from typing import Final, NamedTuple

__all__ = ["CODECS", "CodecImpairment", "effective_equipment_impairment", "mos", "rating"]

# Default values, G.107 section 7.7: dB, dBm0p, dB(A), qdu.
_SLR: Final = 8.0  # send loudness rating
_RLR: Final = 2.0  # receive loudness rating
_STMR: Final = 15.0  # sidetone masking rating
_LSTR: Final = 18.0  # listener sidetone rating
_DS: Final = 3.0  # D-factor of the telephone that sends
_TELR: Final = 65.0  # talker echo loudness rating
_WEPL: Final = 110.0  # weighted echo path loss
_QDU: Final = 1.0  # quantising distortion units
_NC: Final = -70.0  # circuit noise
_NFOR: Final = -64.0  # noise floor of the telephone that receives
_PS: Final = 35.0  # room noise at the sender
_PR: Final = 35.0  # room noise at the receiver


class CodecImpairment(NamedTuple):
    """What a codec costs.

    Attributes:
        ie: Equipment impairment factor without loss.
        bpl: Packet-loss robustness factor: the larger, the less a lost packet is heard.
    """

    ie: float
    bpl: float


CODECS: Final = {
    # With concealment as in G.711 appendix I; without any it would be 4.3.
    "PCMU": CodecImpairment(0.0, 25.1),
    "PCMA": CodecImpairment(0.0, 25.1),
    # Not in G.113. No coding impairment, and the same concealment.
    "L16": CodecImpairment(0.0, 25.1),
}
"""Those the narrowband model has values for, by RFC 3551 name. Wideband codecs have a scale of their own (G.107.1)."""


def rating(*, codec: CodecImpairment, loss_percent: float = 0.0, burst_ratio: float = 1.0, delay: float = 0.0) -> float:
    """The transmission rating factor R, from 0 (G.107 section 7.1; values below are cut off) to 93.2.

    Args:
        codec: See `CODECS`.
        loss_percent: Share of packets lost, 0 to 100.
        burst_ratio: Mean length of the bursts of loss over that of random loss: 1 is random, 2 is bursty.
        delay: From mouth to ear, one way, in seconds. Echo is taken as perfectly controlled.
    """
    ro, simultaneous = _signal_to_noise(), _simultaneous_impairment()
    equipment = effective_equipment_impairment(codec, loss_percent, burst_ratio)
    return max(0.0, ro - simultaneous - _delay_impairment(delay * 1000) - equipment)


def effective_equipment_impairment(codec: CodecImpairment, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Ie-eff, what codec and loss cost together (G.107 section 7.5, equation 7-29)."""
    ie, bpl = codec
    return ie + (95 - ie) * loss_percent / (loss_percent / burst_ratio + bpl)


def mos(r: float) -> float:
    """The mean opinion score (MOS-CQE) that a rating stands for, 1 to 4.5 (G.107 annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)  # the cubic dips below 1 near r = 3


@cache
def _noise() -> float:
    """No: all noise together, in dBm0p at the 0 dBr point (section 7.2)."""
    olr = _SLR + _RLR
    sender_room = _PS - _SLR - _DS - 100 + 0.004 * (_PS - olr - _DS - 14) ** 2
    effective_room = _PR + 10 * math.log10(1 + 10 ** ((10 - _LSTR) / 10))
    receiver_room = _RLR - 121 + effective_room + 0.008 * (effective_room - 35) ** 2
    return _power_sum(_NC, sender_room, receiver_room, _NFOR + _RLR)


@cache
def _signal_to_noise() -> float:
    """Ro: the basic signal-to-noise ratio (section 7.2)."""
    return 15 - 1.5 * (_SLR + _noise())


@cache
def _simultaneous_impairment() -> float:
    """Is: too loud a connection, sidetone, quantising distortion (section 7.3)."""
    loudness = (_SLR + _RLR + 0.2 * (64 + _noise() - _RLR)) / 8
    too_loud = 20 * (math.pow(1 + loudness**8, 1 / 8) - loudness)
    q = 37 - 15 * math.log10(_QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y = (_signal_to_noise() - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    quantising = 15 * math.log10(1 + 10**y + 10**z)
    return too_loud + _sidetone_impairment() + quantising


@cache
def _sidetone_impairment() -> float:
    """Ist, with the echo of no delay at all counted as sidetone (section 7.3)."""
    stmr = -_power_sum(-_STMR, -_TELR)

    def part(offset: float, scale: float, power: float) -> float:
        return math.pow(1 + math.pow((stmr + offset) / scale, power), 1 / power)

    return 12 * part(-13, 6, 8) - 28 * part(1, 19.4, 35) - 13 * part(-3, 33, 13) + 29


def _delay_impairment(delay_ms: float) -> float:
    """Id: the delay itself where it exceeds 100 ms, and listener echo of no delay (section 7.4)."""
    distance = _signal_to_noise() - 10.5 * (_WEPL + 7)
    listener_echo = distance / 2 + math.sqrt(distance**2 / 4 + 169)
    if delay_ms <= 100:
        return listener_echo
    x = math.log2(delay_ms / 100)
    return listener_echo + 25 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def _power_sum(*levels: float) -> float:
    """Sum of powers, in dB."""
    return 10 * math.log10(sum(math.pow(10, level / 10) for level in levels))
