"""Conversations with the agent: what the caller heard, what the model was told, what the record says."""

import re
from pathlib import Path

import pytest
import structlog

from gateway.agents.options import AgentConfig
from gateway.agents.pipeline.pipeline import Pipeline
from gateway.errors import ConfigError
from tests.gateway.agents.pipeline.chat_server import Answer, text, tool
from tests.gateway.agents.pipeline.talk import MS_A_CHARACTER, in_time_lapse, talk

GREETING = "Hello, this is the test."
STORY = ["Once there was a house on a hill. ", "Nobody lived in it for years. ", "Then a light was seen there."]


@in_time_lapse
async def test_a_question_is_heard_and_answered(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(text(*STORY)), words=["Tell me a story."], greeting=GREETING) as there:
        await there.have('listen = "speech"', "wait = 2.5", 'say = "sentence.wav"', "wait = 10")
    assert there.messages(0) == [("assistant", GREETING), ("user", "Tell me a story.")]
    spoken = "".join(STORY)
    assert there.speaker.texts == [GREETING, *(sentence.strip() for sentence in STORY)]
    characters = sum(map(len, there.speaker.texts))
    assert there.heard_seconds() == pytest.approx(characters * MS_A_CHARACTER / 1000, abs=0.1)
    assert there.told("agent.answered") == [{"text": spoken.strip(), "interrupted": False}]
    assert there.failure is None


@in_time_lapse
async def test_speech_begins_with_the_first_sentence_while_the_rest_is_still_made(tmp_path: Path) -> None:
    slow = Answer(text(*STORY), pause=1.0)
    async with talk(tmp_path, slow, words=["A story."]) as there:
        await there.have('say = "sentence.wav"', 'listen = "speech"\nwithin = 3.2', "wait = 12")
    assert there.call.journal.heard.pieces
    assert [step["failure"] for step in there.call.describe()["person"]] == [None] * 3


@in_time_lapse
async def test_after_an_interruption_the_model_knows_what_was_heard_and_no_more(tmp_path: Path) -> None:
    answers = [Answer(text(*STORY)), Answer(text("Yes."))]
    async with talk(tmp_path, *answers, words=["A story.", "Stop it."]) as there:
        await there.have('say = "sentence.wav"', 'interrupt = "sentence.wav"\nafter = 2.5', "wait = 5")
    (role, heard) = there.messages(1)[1]
    assert role == "assistant"
    assert heard.startswith(STORY[0].strip() + " ")
    assert "".join(STORY).startswith(heard)
    told = there.told("agent.answered")
    assert told == [{"text": heard, "interrupted": True}, {"text": "Yes.", "interrupted": False}]
    assert there.messages(1)[2] == ("user", "Stop it.")
    story_seconds = there.heard_seconds() - 4 * MS_A_CHARACTER / 1000
    assert len(heard) * MS_A_CHARACTER / 1000 == pytest.approx(story_seconds, abs=0.7)  # cut at a word


@in_time_lapse
async def test_a_cough_pauses_and_the_answer_goes_on_to_its_end(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(text(*STORY)), words=["A story."]) as there:
        await there.have('say = "sentence.wav"', 'interrupt = "cough.wav"\nafter = 1.5', "wait = 9")
    assert len(there.server.requests) == 1
    assert there.call.journal.messages_received["clear"] == 1  # the pause
    characters = sum(len(sentence.strip()) for sentence in STORY)
    assert there.heard_seconds() == pytest.approx(characters * MS_A_CHARACTER / 1000, abs=0.1)
    assert there.told("agent.answered")[0]["interrupted"] is False


@in_time_lapse
async def test_a_caller_who_goes_on_before_the_answer_is_heard_is_answered_to_all_of_it(tmp_path: Path) -> None:
    answers = [Answer(text("Never heard."), pause=2.0), Answer(text("Both heard."))]
    async with talk(tmp_path, *answers, words=["Tell me", "a story."]) as there:
        await there.have('say = "sentence.wav"', "wait = 1.2", 'say = "sentence.wav"', "wait = 5")
    assert there.messages(1) == [("user", "Tell me a story.")]
    assert there.speaker.texts == ["Both heard."]


@in_time_lapse
async def test_a_noise_without_words_is_not_answered(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(text("What?")), words=["", "Hello."]) as there:
        await there.have('say = "sentence.wav"', "wait = 4", 'say = "sentence.wav"', "wait = 4")
    assert [messages["messages"][-1]["content"] for messages in there.server.requests] == ["Hello."]


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Answer(status=400, body="no such model"), "ChatError: the endpoint answers 400"),
        (Answer(text("Once there")[:1], drop=True), "ChatError: the answer broke off"),
        (Answer(text("Once there")[:1], stall=100), r"ChatError: the answer stood still for 2 s"),
        (Answer(text("This is unspeakable.")), "SpeechError: .*it cannot be spoken"),
    ],
)
def test_an_answer_that_fails_is_recorded_and_apologised_for_and_the_next_is_given(
    tmp_path: Path, broken: Answer, complaint: str
) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        answers = [broken, Answer(text("Here I am."))]
        async with talk(folder, *answers, words=["Hello?", "Hello?"], apology="So sorry.", stall_timeout=2) as there:
            await there.have(
                'say = "sentence.wav"', 'listen = "speech"', "wait = 2", 'say = "sentence.wav"', "wait = 5"
            )
        assert there.speaker.texts[-2:] == ["So sorry.", "Here I am."]
        (failure,) = there.told("agent.failed")
        assert re.match(complaint, failure["error"])
        assert there.failure is None

    test(tmp_path)


@in_time_lapse
async def test_a_refused_key_ends_the_agent_with_one_clear_error(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(status=401), words=["Hello?", "Hello?"], key="sk-wrong") as there:
        await there.have('say = "sentence.wav"', "wait = 3", 'say = "sentence.wav"', "wait = 3")
    assert there.failure is not None
    assert "refuses the key (401): is OPENAI_API_KEY right?" in there.failure
    assert "sk-wrong" not in there.failure
    assert len(there.server.requests) == 1
    assert len(there.told("agent.failed")) == 1


@in_time_lapse
async def test_answers_that_fail_again_and_again_end_the_agent(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(status=400), words=["One.", "Two.", "Three."], failures=2, apology=None) as there:
        await there.have(*['say = "sentence.wav"', "wait = 3"] * 3)
    assert there.failure is not None
    assert len(there.server.requests) == 2


@in_time_lapse
async def test_an_agent_that_becomes_deaf_ends(tmp_path: Path) -> None:
    async with talk(tmp_path, Answer(text("Yes.")), words=["fail"]) as there:
        await there.have('say = "sentence.wav"', "wait = 3")
    assert there.failure is not None
    assert "the transcriber failed: it has lost its hearing" in there.failure


@in_time_lapse
async def test_a_model_that_hangs_up_is_heard_to_the_end_of_its_goodbye(tmp_path: Path) -> None:
    goodbye = Answer([*text("Goodbye then.")[:1], *tool("hangup", "{}")])
    async with talk(tmp_path, goodbye, words=["That is all."], tools=["hangup"]) as there:
        await there.have('say = "sentence.wav"', "wait = 20")
    assert there.call.leg.hangup_source == "callee"
    assert there.heard_seconds() == pytest.approx(len("Goodbye then.") * MS_A_CHARACTER / 1000, abs=0.1)
    assert there.failure is None


@in_time_lapse
async def test_what_came_of_a_tool_is_told_to_the_model(tmp_path: Path) -> None:
    answers = [Answer(tool("transfer", '{"to": "+15550100009"}')), Answer(text("I cannot do that."))]
    places = {"billing": "+15550100200"}
    async with talk(tmp_path, *answers, words=["Put me through."], tools=["transfer"], transfer_to=places) as there:
        await there.have('say = "sentence.wav"', "wait = 4")
    call, result = there.server.requests[1]["messages"][-2:]
    assert call["tool_calls"][0]["function"] == {"name": "transfer", "arguments": '{"to": "+15550100009"}'}
    assert (result["role"], result["tool_call_id"]) == ("tool", "call_1")
    assert "to must be one of: billing" in result["content"]
    assert there.speaker.texts == ["I cannot do that."]


OPTIONS = {"model": "m", "transcriber": "vosk:?url=ws://127.0.0.1:1", "speech": "espeak:"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"modle": "x"}, "modle: there is no such option; there are: model, base_url"),
        ({"end_of_turn": 0}, "end_of_turn: Input should be greater"),
        ({"vad": "magic"}, "there is no such detector"),
        ({"speech": "shout:"}, "there is no speech service 'shout'"),
        ({"speech": None}, "speech: name a speech service"),
        ({"transcriber": None}, "transcriber: name one there"),
        ({"tools": ["transfer"]}, "the tool transfer needs transfer_to"),
        ({"base_url": "https://api.openai.com/v1"}, "OPENAI_API_KEY is not set"),
        ({"model": ""}, "model: String should have"),
    ],
)
async def test_options_that_are_wrong_are_refused_at_the_start(options: dict[str, object], complaint: str) -> None:
    given = OPTIONS | {"base_url": "http://127.0.0.1:1/v1"} | options
    with pytest.raises(ConfigError, match=complaint):
        async with Pipeline.configure(AgentConfig(options=given, log=structlog.get_logger())):
            pass
