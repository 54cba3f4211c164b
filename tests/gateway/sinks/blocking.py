"""A sink that a worker process can find, and that does what its stream says."""

import os
import signal
import threading
import time
from types import TracebackType
from typing import Any, Self

from gateway.media.frame import AudioFrame, FrameTrack
from gateway.sinks.base import StreamInfo
from gateway.sinks.delivery import Delivery, Restart

__all__ = ["ShortLived", "Told"]


class Told:
    """Remembers its frames; the stream's parameters say when it is to do something else.

    `raise`, `exit`, `tell`, `hang` and `die` name a frame. `refuse` and `speechless` are for its opening and its
    description.
    """

    tracks: frozenset[FrameTrack] = frozenset({"inbound", "played"})
    delivery = Delivery(by="process", linger=0, close_timeout=3)

    def __init__(self, info: StreamInfo) -> None:
        self.todo = info.custom_parameters
        self.publish = info.publish
        if "refuse" in self.todo:
            raise OSError("no model")
        self.heard: list[tuple[str, int]] = []
        self.told: dict[str, Any] = {
            "stream": info.stream_id,
            "report": dict(info.report()),
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
        }

    def __enter__(self) -> Self:
        self.told["entered"] = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.told["left"] = True

    def write(self, frame: AudioFrame) -> None:
        number = int(frame.samples[0])
        match self.todo.get(str(number)):
            case "raise":
                raise ValueError("enough")
            case "exit":
                raise SystemExit(3)
            case "tell":
                self.publish("sound.heard", {"number": number})
            case "hang":
                time.sleep(600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        self.heard.append((frame.track, number))

    def describe(self) -> dict[str, Any]:
        return {"sink": self} if "speechless" in self.todo else self.told | {"heard": self.heard}


class ShortLived(Told):
    """The same, in a process of its own, and begun again after a failure."""

    delivery = Delivery(by="process", linger=0, restart=Restart(first=0.01))
