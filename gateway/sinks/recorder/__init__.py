"""The recorder: one sound file for each stream, by default dual-channel WAV, the caller left, the application right.

In the event loop:
    sink.py         takes the frames: a copy into the window, nothing else
    window.py       the part of the file that is being heard
    schedule.py     whose turn it is to go to the disk
    recorder.py     the service: one timer, one writer thread, all recordings

In the writer thread:
    recording.py    one recording while it runs: folder, file, sidecar
    channel.py      a track of the lower rate of two
    wav.py riff.py  the file, and its header
    seal.py         the same, sealed with a key
    encoding.py     how samples and channels are written
    silence.py      where anything is to be heard
    sidecar.py      `recording.json`, what the file does not say of itself

When a recording has ended:
    completer.py    the thread that does this
    complete.py     trim, format, checksum
    recover.py      what a crash has left

And options.py, what can be asked of a recording; events.py, what is told of it; beep.py, the tone before it.
"""

from gateway.sinks.recorder.events import RecordingEvent, RecordingFailed, RecordingSaved
from gateway.sinks.recorder.options import RecordingOptions
from gateway.sinks.recorder.recorder import Recorder

__all__ = ["Recorder", "RecordingEvent", "RecordingFailed", "RecordingOptions", "RecordingSaved"]
