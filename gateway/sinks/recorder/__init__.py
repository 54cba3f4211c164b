"""The recorder: one dual-channel WAV file for each stream, the caller left, the application right.

sink.py       takes the frames, in the event loop: an append, nothing else
schedule.py   whose turn it is to go to the disk
recorder.py   the service: one timer, one writer thread, all recordings
thread.py     the writer thread
recording.py  one recording, in the writer thread: folder, file, sidecar
channel.py    where a track's sound stands in the file
wav.py        the file
sidecar.py    `recording.json`, what the file does not say of itself
"""

from gateway.sinks.recorder.recorder import Recorder

__all__ = ["Recorder"]
