"""What was said in one turn."""

import asyncio

from gateway.agents.pipeline.hearing import Hearing
from gateway.transcribe.segment import Segment


def segment(text: str, start: float, end: float, *, final: bool = True) -> Segment:
    return Segment(text=text, start=start, end=end, final=final)


async def test_all_finals_of_a_turn_are_its_words() -> None:
    hearing = Hearing()
    hearing.speech_ended(3.0)
    assert hearing.heard(segment("I want", 1.0, 1.5))
    assert hearing.heard(segment("a room.", 2.0, 2.9))
    assert await hearing.take(0) == "I want a room."
    assert await hearing.take(0) == ""


async def test_the_last_words_are_waited_for() -> None:
    hearing = Hearing()
    hearing.speech_ended(3.0)
    hearing.heard(segment("I want", 1.0, 1.5))
    taking = asyncio.ensure_future(hearing.take(5))
    await asyncio.sleep(0)
    assert hearing.taking
    hearing.heard(segment("a room.", 2.0, 2.9))
    assert await taking == "I want a room."
    assert not hearing.taking


async def test_what_does_not_come_in_time_is_replaced_by_what_was_understood_so_far_and_is_not_said_again() -> None:
    hearing = Hearing()
    hearing.speech_ended(2.0)
    hearing.heard(segment("I want a rum", 1.0, 2.0, final=False))
    assert await hearing.take(0) == "I want a rum"
    assert not hearing.heard(segment("I want a room.", 1.0, 2.0))
    assert hearing.heard(segment("Hello?", 4.0, 4.5))
    assert await hearing.take(0) == "Hello?"


async def test_the_agents_own_words_are_nobodys_turn() -> None:
    hearing = Hearing()
    assert not hearing.heard(Segment(text="Good morning.", start=0, end=1, final=True, track="played"))
    assert await hearing.take(0) == ""
