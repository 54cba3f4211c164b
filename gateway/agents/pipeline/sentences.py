# ruff: noqa: RUF001 - the stops and quotation marks of many scripts
"""Sentences out of text that comes in pieces, so that the first is spoken while the last is still being thought of.

Pure. A sentence is given as soon as what follows it shows that it is over; how the text was cut into pieces makes no
difference. Nothing is lost but white space between sentences.
"""

import re
from typing import Final

__all__ = ["SentenceSplitter", "speakable"]

_LONGEST: Final = 300
"""Characters after which a sentence is cut where it can be: a speech service has its limits, and so has patience."""

_END: Final = re.compile(
    r"""(?P<stop>[.!?…]+["'”’»)\]]*(?=\s))   # with the white space behind it, so that 3.5 is no end
      | [。！？]+["'”’」』）]*(?=[^。！？"'”’」』）])   # white space is not usual here
      | \n""",
    re.VERBOSE,
)
_LAST_WORD: Final = re.compile(r"(\w[\w.]*)\.$")
_ABBREVIATION: Final = re.compile(
    r"mr|mrs|ms|dr|prof|st|sr|jr|no|vs|etc|e\.g|i\.e|approx|ext|inc|co|ltd|dept|hr|fr|bzw|ca|z\.b|d\.h|usw|nr|str|tel|sra"
)
_BREAK: Final = re.compile(r"[,;:–—](?=\s)|\s")


class SentenceSplitter:
    """Takes one text."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, piece: str) -> list[str]:
        """Take the next piece; returns the sentences that are over by it, none of them empty."""
        self._text += piece
        sentences = []
        while (end := self._end()) is not None:
            sentences.append(self._text[:end].strip())
            self._text = self._text[end:]
        return [sentence for sentence in sentences if sentence]

    def flush(self) -> list[str]:
        """The text is over; returns what is left of it."""
        sentences = self.push("\n")
        self._text = ""
        return sentences

    def _end(self) -> int | None:
        """Where the first sentence ends; None if that cannot be seen yet."""
        for match in _END.finditer(self._text, 0, _LONGEST + 1):
            if match["stop"] is None or not _goes_on(self._text[: match.end()]):
                return match.end()
        if len(self._text) <= _LONGEST:
            return None
        breaks = [match.end() for match in _BREAK.finditer(self._text, 1, _LONGEST)]
        return breaks[-1] if breaks else _LONGEST


def _goes_on(text: str) -> bool:
    """Whether the stop at the end of this text is part of a word: `Dr.`, `J.`, or `1.` at the beginning."""
    word = _LAST_WORD.search(text)
    if word is None:
        return False
    letters = word[1].casefold()
    initial = len(letters) == 1 and letters.isalpha() and letters != "i"
    numeral = letters.isdigit() and text[: word.start()].strip() == ""
    return _ABBREVIATION.fullmatch(letters) is not None or initial or numeral


def speakable(sentence: str) -> str:
    """The sentence without what is meant for the eye; empty if nothing is left to be spoken."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]+|^\s*(?:#+|[-•])\s+", r"\1", sentence).strip()
    return plain if any(letter.isalnum() for letter in plain) else ""
