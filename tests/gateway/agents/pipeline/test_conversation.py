"""What the model is told of a conversation: of what the agent said, what was heard."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.pipeline.chat import ToolCall
from gateway.agents.pipeline.conversation import Conversation
from gateway.agents.pipeline.speaking import Sentence
from gateway.playback import Playback


class Played:
    """A playback that stands somewhere."""

    def __init__(self, heard: int, *, over: bool = True) -> None:
        self.heard = heard
        self._over = over

    def done(self) -> bool:
        return self._over


def sentence(text: str, *, made: float, heard: int, whole: bool = True, over: bool = True) -> Sentence:
    said = Sentence(text)
    said.made_ms, said.whole = made, whole
    said.playback = cast(Playback, Played(heard, over=over))
    return said


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({"made": 1000, "heard": 1000}, "One two three four."),
        ({"made": 1010, "heard": 1000}, "One two three four."),  # the rest of a message is silence
        ({"made": 1000, "heard": 0}, ""),
        ({"made": 1900, "heard": 600}, "One"),  # in the middle of `two`
        ({"made": 1900, "heard": 700}, "One two"),
        ({"made": 1900, "heard": 1300}, "One two three"),
        ({"made": 600, "heard": 600, "whole": False}, "One two"),  # the rest was not made yet: by 65 ms a character
        ({"made": 0, "heard": 0, "whole": False}, ""),
        ({"made": 300, "heard": 100, "over": False}, "One two three four."),  # under way: all of it will be said
    ],
)
def test_of_a_sentence_the_whole_words_that_were_heard_count(options: dict[str, Any], heard: str) -> None:
    assert sentence("One two three four.", **options).heard() == heard


@given(st.text(max_size=80), st.integers(0, 5000), st.integers(0, 5000), st.booleans())
def test_whatever_was_heard_is_the_beginning_of_what_was_said(text: str, made: int, heard: int, whole: bool) -> None:
    assert text.startswith(sentence(text, made=made, heard=heard, whole=whole).heard())


def test_the_model_is_told_both_sides_in_order() -> None:
    conversation = Conversation("Be brief.")
    conversation.agent_says().sentences.append(sentence("Hello.", made=400, heard=400))
    conversation.user_said("Who are you?")
    said = conversation.agent_says()
    said.sentences += [sentence("I am.", made=400, heard=400), sentence("Nobody special.", made=1500, heard=850)]
    assert conversation.messages() == [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "I am. Nobody"},
    ]


def test_an_answer_that_nobody_has_heard_is_none_and_the_callers_words_are_one() -> None:
    conversation = Conversation("")
    conversation.user_said("I want")
    conversation.agent_says().sentences.append(sentence("Pardon?", made=400, heard=0))
    conversation.user_said("a room.")
    assert conversation.messages() == [{"role": "user", "content": "I want a room."}]


def test_calls_of_tools_stand_with_their_results() -> None:
    conversation = Conversation("")
    conversation.user_said("Bye.")
    conversation.agent_says().calls.append((ToolCall("call_1", "hangup", "{}"), '{"done": true}'))
    _, call, result = conversation.messages()
    assert (call["role"], call["content"], call["tool_calls"][0]["id"]) == ("assistant", None, "call_1")
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": '{"done": true}'}


def test_a_conversation_without_end_is_forgotten_from_its_beginning() -> None:
    conversation = Conversation("Be brief.")
    for number in range(1000):
        conversation.user_said(f"{number}.")
        conversation.agent_says().sentences.append(sentence("Yes.", made=100, heard=100))
    messages = conversation.messages()
    assert len(messages) <= 201
    assert messages[0]["role"] == "system"
    assert messages[-2]["content"] == "999."
