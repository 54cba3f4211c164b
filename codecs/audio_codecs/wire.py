"""What one stream's two directions have in common on the wire, and no message tells: it is found out by listening.

Telnyx documents neither the byte order of L16 nor the layout of AMR-WB's payloads. What is heard in one direction is
the best advice for the other, so both directions' codecs of a stream are opened with the same `Wire`.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from audio_codecs.byte_order import ByteOrder, ByteOrderDetector
from audio_codecs.samples import Samples

__all__ = ["ByteOrderSetting", "Wire"]

ByteOrderSetting: TypeAlias = Literal["little", "big", "auto"]

_AUTO_BEGINS_AS: Final = "little"  # what those found who ran L16 on Telnyx's streams


class Wire:
    """The habits of one stream.

    Args:
        byte_order: Of L16. `little` and `big` are obeyed whatever is heard; `auto` begins as little and follows.
        octet_aligned: The layout of AMR-WB's payloads that is sent until another one is heard.
        on_byte_order: Told once, as soon as the sound has shown its byte order.

    Attributes:
        byte_order: The one in use.
        byte_order_heard: The one that the sound has shown; None while it has not.
        octet_aligned: The layout of AMR-WB that was heard last.
        mode_request: The mode of AMR-WB that the other end asks for, 0 to 8; any other number is no wish.
    """

    def __init__(
        self,
        byte_order: ByteOrderSetting = "little",
        *,
        octet_aligned: bool = False,
        on_byte_order: Callable[["Wire"], None] | None = None,
    ) -> None:
        self.byte_order: ByteOrder = _AUTO_BEGINS_AS if byte_order == "auto" else byte_order
        self.byte_order_heard: ByteOrder | None = None
        self.octet_aligned = octet_aligned
        self.mode_request = 15
        self._setting = byte_order
        self._on_byte_order = on_byte_order
        self._detector: ByteOrderDetector | None = None

    @property
    def byte_order_wrong(self) -> bool:
        """Whether the byte order is set to one, and the sound has shown the other."""
        return self.byte_order_heard is not None and self.byte_order_heard != self.byte_order

    def listen(self, samples: Samples, sample_rate: int) -> None:
        """Look for the byte order of L16, until it has shown itself.

        Args:
            samples: The payload's octets taken in the machine's own byte order, int16, shape (n,).
            sample_rate: In Hz.
        """
        if self._detector is None:
            self._detector = ByteOrderDetector(sample_rate)
        heard = self._detector.listen(samples)
        if heard is None or self.byte_order_heard is not None:
            return
        self.byte_order_heard = heard
        if self._setting == "auto":
            self.byte_order = heard
        if self._on_byte_order is not None:
            self._on_byte_order(self)

    def describe(self) -> dict[str, Any]:
        """What is known, as JSON-ready values."""
        return {
            "l16_byte_order": self.byte_order,
            "l16_byte_order_heard": self.byte_order_heard,
            "amr_wb_octet_aligned": self.octet_aligned,
        }
