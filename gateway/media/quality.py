"""What one track sounds like to the one who hears it: counters, jitter, level, and a score."""

from typing import Any

from gateway.media.emodel import CODECS, mos, rating
from gateway.media.line import TrackLine
from gateway.media.reorder import TrackPackets

__all__ = ["describe_track"]


def describe_track(packets: TrackPackets, line: TrackLine) -> dict[str, Any]:
    """Everything that was counted and measured of a track, as JSON-ready values."""
    return {
        "packets_received": packets.packets_received,
        "packets_lost": packets.packets_lost,
        "packets_late": packets.packets_late,
        "packets_duplicated": packets.packets_duplicated,
        "packets_reordered": packets.packets_reordered,
        "loss_bursts": packets.loss_bursts,
        "payloads_bad": line.payloads_bad,
        "packets_comfort_noise": line.packets_comfort_noise,
        "frames_concealed": line.frames_concealed,
        "jitter_ms": round(line.jitter * 1000, 3),
        **line.describe(),
        **_score(packets, line),
    }


def _score(packets: TrackPackets, line: TrackLine) -> dict[str, Any]:
    """R and MOS by the E-model; None for a codec that it has no values for.

    A packet that could not be decoded is as lost as one that did not come. Of the delay, only what arises here is
    known: one packet, and the room that the jitter asks for, twice its mean. What the networks add is not in it.
    """
    codec = CODECS.get(line.encoding)
    expected = packets.packets_received - packets.packets_late - packets.packets_duplicated + packets.packets_lost
    if codec is None or expected <= 0:
        return {"r_factor": None, "mos": None}
    lost = packets.packets_lost + line.payloads_bad
    share = min(1.0, lost / expected)
    bursts = packets.loss_bursts + line.payloads_bad
    burst_ratio = max(1.0, lost / bursts * (1 - share)) if bursts else 1.0
    delay = line.packet_time + 2 * line.jitter
    r = rating(codec=codec, loss_percent=100 * share, burst_ratio=burst_ratio, delay=delay)
    return {"r_factor": round(r, 1), "mos": round(mos(r), 2)}
