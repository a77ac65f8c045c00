"""A command line as words, the way a POSIX shell splits it, without a shell.

Laws: quotes and backslashes mean what they mean in `sh`; nothing is expanded; what a shell would *do* (pipes,
redirections, lists of commands) is refused, because nobody would do it here and the program would get a `|` as an
argument. A command that needs a shell is a `script`.
"""

from __future__ import annotations

import re

OPERATORS = frozenset(("|", "||", "|&", ">", ">>", "<", "<<", "<<<", "2>", "2>>", "2>&1", "&>", "&&", "&", ";", ";;"))

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+)
    | (?P<newline>\n)
    | (?P<plain>[^\s'"\\]+ | [^\S \t\r\n]+)
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \\(?P<escape>.)""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE = re.compile(r'\\([$`"\\])|\\\n')
_SPECIAL = re.compile(r"['\"\\]")


class NotWords(ValueError):
    """The command cannot be split. The text is the end of a sentence; `needs_shell` when only a shell could run it."""

    def __init__(self, message: str, *, needs_shell: bool = False) -> None:
        super().__init__(message)
        self.needs_shell = needs_shell


def split(command: str) -> list[str]:
    """The words of a command line.

    Raises:
        NotWords: a quote is not closed, a backslash ends the text, an operator of the shell or a second line
            stands outside quotes.
    """
    if _SPECIAL.search(command) or not (command.isascii() and command.isprintable()):
        return _split_quoted(command.lstrip(" \t\r\n"))
    words = command.split()
    if not OPERATORS.isdisjoint(words):
        raise _operator(next(word for word in words if word in OPERATORS))
    return words


def _split_quoted(command: str) -> list[str]:
    words: list[str] = []
    parts: list[str] = []
    quoted = False
    position = 0

    def end_word() -> None:
        word = "".join(parts)
        if not quoted and word in OPERATORS:
            raise _operator(word)
        if parts:
            words.append(word)
        parts.clear()

    while position < len(command):
        match = _TOKEN.match(command, position)
        if match is None:
            left = command[position]
            raise NotWords("ends in a backslash" if left == "\\" else f"has a {left} that is not closed")
        position = match.end()
        kind, text = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "newline" and command[position:].strip():
            raise NotWords("has more than one line", needs_shell=True)
        if kind in {"space", "newline"}:
            end_word()
            quoted = False
            continue
        if kind == "escape" and text == "\n":
            continue
        quoted = quoted or kind != "plain"
        parts.append(_IN_DOUBLE.sub(lambda found: found[1] or "", text) if kind == "double" else text)
    end_word()
    return words


def _operator(word: str) -> NotWords:
    return NotWords(f"holds the shell operator {word}, and no shell runs it", needs_shell=True)
