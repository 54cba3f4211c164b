"""The types of Deepgram's, OpenAI's and AssemblyAI's own Python packages read what our transcribers and fakes say.

The packages are not used to connect: their types are what the services publish of their protocols in code. Each message
of a run is read by the strictest reader there is for it, and has to keep every field that it came with.
"""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from assemblyai.streaming.v3 import models as assemblyai
from assemblyai.streaming.v3._base import _BaseStreamingClient
from deepgram.listen.v1.client import AsyncV1Client
from deepgram.listen.v1.types.listen_v1close_stream import ListenV1CloseStream
from deepgram.listen.v1.types.listen_v1keep_alive import ListenV1KeepAlive
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

ROOT = Path(__file__).resolve().parents[3]
TRANSCRIPT = "1 2 3 4 5"


def check_deepgram(run: dict[str, Any]) -> int:
    """The query by the parameters of the client, the messages by its types."""
    known = inspect.signature(AsyncV1Client.connect).parameters
    unknown = [name for name, _ in parse_qsl(urlsplit(run["path"]).query) if name not in known]
    assert not unknown, unknown
    client = {"KeepAlive": ListenV1KeepAlive, "CloseStream": ListenV1CloseStream}
    for message in run["heard"]:
        client[message["type"]].model_validate(message, strict=True)
    results = [message for message in run["told"] if message["type"] == "Results"]
    for message in results:
        without = message | {"metadata": {**message["metadata"], "model_info": {"name": "", "version": "", "arch": ""}}}
        read = ListenV1Results.model_validate(without, strict=True)
        assert read.channel.alternatives[0].transcript == message["channel"]["alternatives"][0]["transcript"]
        assert not read.model_extra, read.model_extra
    return len(results) + len(run["heard"])


def check_openai(run: dict[str, Any]) -> int:
    """By the unions of all events, of which the right one has to be taken."""
    for union, messages in ((RealtimeClientEvent, run["heard"]), (RealtimeServerEvent, run["told"])):
        adapter: TypeAdapter[Any] = TypeAdapter(union)
        for message in messages:
            read = adapter.validate_python(message)
            assert read.type == message["type"], message["type"]
            lost = set(message) - set(read.model_dump(exclude_unset=True))
            assert not lost, (message["type"], lost)
            assert not read.model_extra, (message["type"], read.model_extra)
    update = run["heard"][0]["session"]
    kept = adapter_dump(TypeAdapter(RealtimeClientEvent).validate_python(run["heard"][0]))["session"]
    assert kept == update, (kept, update)
    return len(run["heard"]) + len(run["told"])


def adapter_dump(model: BaseModel) -> dict[str, Any]:
    """Only what was there."""
    return model.model_dump(mode="json", exclude_unset=True)


def check_assemblyai(run: dict[str, Any]) -> int:
    """The query by the parameters' model, what the service says by the client's own reader."""
    query = dict(parse_qsl(urlsplit(run["path"]).query))
    unknown = set(query) - set(assemblyai.RealTimeParameters.model_fields)
    assert not unknown, unknown
    assemblyai.RealTimeParameters.model_validate(query)
    for message in run["heard"]:
        assemblyai.TerminateSession.model_validate(message, strict=True)
    for message in run["told"]:
        read = _BaseStreamingClient._parse_message(message)
        assert read is not None, message
        assert set(message) <= set(read.model_dump()), message
    return len(run["heard"]) + len(run["told"])


def main() -> int:
    """Check all of them; tells how many messages were read."""
    python = ROOT / ".venv" / "bin" / "python"
    command = [str(python), "-m", "tests.peers.transcriber_sdks.record"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    runs = json.loads(done.stdout)
    for name, check in (("deepgram", check_deepgram), ("openai", check_openai), ("assemblyai", check_assemblyai)):
        assert runs[name]["transcript"] == TRANSCRIPT, runs[name]["transcript"]
        print(f"{name}: {check(runs[name])} messages are those of its package")
    return 0


if __name__ == "__main__":
    sys.exit(main())
