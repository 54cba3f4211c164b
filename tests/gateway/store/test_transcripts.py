"""What was said in a call, in the store."""

from pathlib import Path
from typing import Any

from gateway.transcribe.keeping import keeping_transcripts
from gateway.transcribe.segment import FINAL, PARTIAL, Segment, Word
from tests.gateway.store.conftest import Log
from tests.gateway.store.test_store import DAY, Clock, opened

SAID = Segment(
    text="hello there",
    start=1.0004,
    end=2.0,
    final=True,
    confidence=0.5,
    words=[Word("hello", 1.0, 1.4), Word("there", 1.5, 2.0, 0.9)],
    transcriber="deepgram",
)


async def test_final_segments_are_kept_with_their_call_and_everything_is_published(tmp_path: Path, log: Log) -> None:
    published: list[tuple[str, str, Any]] = []

    def publish(call_control_id: str, event_type: str, data: Any) -> None:
        published.append((call_control_id, event_type, data))

    async with opened(tmp_path, log) as store:
        tell = keeping_transcripts(publish, store)
        tell("a", FINAL, {**SAID.describe(), "start": 7.5, "text": "later"})
        tell("a", FINAL, SAID.describe())
        tell("a", PARTIAL, {**SAID.describe(), "text": "not yet"})
        tell("a", "sink.failed", {"sink": "x"})
        tell("b", FINAL, SAID.describe())
        said = await store.transcript("a")
        assert [segment["text"] for segment in said] == ["hello there", "later"]
        assert said[0]["start"] == 1.0
        assert Segment.read(said[0]).words[1] == Word("there", 1.5, 2.0, 0.9)
        assert [segment["text"] for segment in await store.transcript("a", limit=1)] == ["later"]
        assert await store.transcript("c") == []
    assert len(published) == 5
    async with opened(tmp_path, log) as store:
        assert len(await store.transcript("a")) == 2


async def test_what_a_program_has_published_without_a_place_stands_first(tmp_path: Path, log: Log) -> None:
    async with opened(tmp_path, log) as store:
        store.save_segment("a", SAID.describe())
        store.save_segment("a", {"text": "somewhere"})
        assert [segment["text"] for segment in await store.transcript("a")] == ["somewhere", "hello there"]


async def test_what_was_said_is_forgotten_with_its_call(tmp_path: Path, log: Log) -> None:
    clock = Clock()
    async with opened(tmp_path, log, clock=clock, keep_days=2) as store:
        clock.now -= 3 * DAY
        store.save_segment("old", SAID.describe())
        clock.now += 2 * DAY
        store.save_segment("young", SAID.describe())
        await store.flush()
        clock.now += DAY
        store.prune()
        assert (await store.transcript("old"), len(await store.transcript("young"))) == ([], 1)
