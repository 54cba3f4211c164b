"""A sink of ten lines: when each side of a call was first heard, so how long the caller waited for an answer."""

from gateway import BOTH_SIDES, AudioFrame, StreamInfo


class FirstHeard:
    tracks = BOTH_SIDES

    def __init__(self, info: StreamInfo) -> None:
        self.seconds: dict[str, float] = {}

    def write(self, frame: AudioFrame) -> None:
        if frame.track not in self.seconds and abs(frame.samples).max() > 1000:
            self.seconds[frame.track] = frame.timestamp / frame.sample_rate

    def describe(self) -> dict[str, object]:
        return {"first_heard": self.seconds}
