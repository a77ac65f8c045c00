"""YAML text to plain values, and plain values to YAML text. The only module that imports yaml; imported late.

Values are built from libyaml's events, not by PyYAML's constructors, because of the laws:

* Scalars follow YAML 1.2's core schema: `no`, `on` and dates are text, `1e-3` is a number, `012` is twelve. What was
  typed is kept beside (`Reading.originals`), so that where a text is wanted `012` and `1.50` arrive as typed. Keys are
  always text.
* No tag is ever obeyed. Aliases and merge keys (`<<`) are; what they stand for is counted, and a bomb is refused
  before it grows.
* No recursion: depth is limited by a number, not by the interpreter's stack.
* Duplicate keys are problems. Positions are kept only on a second reading, when there is something to point at.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import yaml

from wattle.core.findings import MOST_FINDINGS, Finding, Path, Unreadable, shorten
from wattle.core.reading import DEPTH_LIMIT, Place, Reading, position, too_deep

ALIASED_LIMIT = 1_000_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST = frozenset("+-.0123456789")
_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_CONTROL = re.compile("[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_DIGITS = 4_000  # Python itself refuses to read longer numbers
_LINE = 70
_LINE_ENTRIES = 4
_OPEN: Any = object()  # the key of a mapping that waits for its next key


def load(text: str) -> Reading:
    """The document's plain value. Raises `Unreadable` when the text cannot be read to its end."""
    return _Builder(text).build()


def places(text: str, wanted: frozenset[Path] | set[Path]) -> dict[Path, Place]:
    """Where the wanted values stand; for a text that `load` has read, or as far as it could."""
    builder = _Builder(text, wanted)
    with suppress(Unreadable):  # what was found before the end still helps
        builder.build()
    return builder.places


def dump(value: dict[str, Any]) -> str:
    """Readable YAML: keys in their order, several lines as a block, nothing that another reader would misread."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, indent=2))


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar by the core schema of YAML 1.2. Raises `ValueError` for a number too long."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    if len(text) > _DIGITS and (_INT.fullmatch(text) or _BASED.fullmatch(text)):
        raise ValueError("a number of that length")
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if special := _SPECIAL.fullmatch(text):
        return float(f"{special[1] or ''}{(special[2] or special[3]).lower()}")
    return text


class _Frame:
    """A mapping or list that is being filled. `key` is the next one's: `_OPEN`, a text, or an index."""

    __slots__ = ("anchor", "container", "key", "key_place", "merges", "path", "seen")

    def __init__(self, container: Any, anchor: str | None, seen: int, path: Path) -> None:
        self.container = container
        self.anchor = anchor
        self.seen = seen
        self.path = path
        self.key: Any = _OPEN if type(container) is dict else 0
        self.key_place = (0, 0)
        self.merges: list[Any] = []


class _Builder:
    """One reading of one text."""

    def __init__(self, text: str, wanted: frozenset[Path] | set[Path] | None = None) -> None:
        self.text = text
        self.wanted = wanted
        self.places: dict[Path, Place] = {}
        self.originals: dict[tuple[int, str | int], str] = {}
        self.findings: list[Finding] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.count = 0  # values, each alias counted as all that it stands for
        self.aliased = 0
        self.value: Any = None

    def build(self) -> Reading:
        if control := _CONTROL.search(self.text):
            line, column = position(self.text, control.start())
            raise Unreadable(f"the text holds the character {control[0]!r}", "write it as text", line, column)
        loader = _LOADER(self.text)
        try:
            self._consume(loader)
        except yaml.MarkedYAMLError as error:
            raise self._malformed(error) from None
        except yaml.YAMLError as error:
            raise Unreadable(f"not YAML: {error}") from None
        finally:
            loader.dispose()
        return Reading(self.value, self.findings, self.originals)

    def _consume(self, loader: Any) -> None:
        """Read event after event. The scalar comes first because it is nine events of ten."""
        scalar, mapping, sequence = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
        ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        documents = 0
        while True:
            event = loader.get_event()
            kind = type(event)
            if kind is scalar:
                self._scalar(event)
            elif kind is mapping or kind is sequence:
                self._start({} if kind is mapping else [], event)
            elif kind in ends:
                self._end()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self._stop(event, "a second document begins here", "one file holds one workflow")
            elif kind is yaml.StreamEndEvent:
                return

    def _scalar(self, event: Any) -> None:
        text: str = event.value
        frame = self.stack[-1] if self.stack else None
        if event.tag is not None:
            self._tag(event)
        self.count += 1
        if frame is not None and frame.key is _OPEN:
            self._key(frame, text, event)
            return
        value: Any = text
        if event.implicit[0]:
            try:
                value = plain_scalar(text)
            except ValueError:
                raise self._stop(event, f"a number of {len(text):,} digits", "put it in quotes") from None
            if value is not text and frame is not None and value is not None and _usual(value) != text:
                self.originals[id(frame.container), frame.key] = text
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        self._put(frame, value, event)

    def _key(self, frame: _Frame, text: str, event: Any) -> None:
        mark = event.start_mark
        frame.key = text
        frame.key_place = (mark.line + 1, mark.column + 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = (text, 1)
        if text in frame.container and len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding((*frame.path, text), f"the key {shorten(text)!r} stands here twice",
                                         "remove or rename one of them", True, *frame.key_place))  # fmt: skip

    def _start(self, container: Any, event: Any) -> None:
        if event.tag is not None:
            self._tag(event)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is _OPEN:
            raise self._stop(event, "a key is a list or mapping", "a key is a text; braces mean a mapping, so "
                             "put a text that begins with one in quotes")  # fmt: skip
        if len(self.stack) >= DEPTH_LIMIT:
            raise self._stop(event, *too_deep())
        self.count += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = (_OPEN, 0)
        path = () if frame is None else (*frame.path, frame.key)
        self._put(frame, container, event)
        self.stack.append(_Frame(container, event.anchor, self.count, path))

    def _end(self) -> None:
        frame = self.stack.pop()
        for merge in frame.merges:
            for key, value in merge.items():
                if key not in frame.container:
                    frame.container[key] = value
                    if typed := self.originals.get((id(merge), key)):
                        self.originals[id(frame.container), key] = typed
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.container, self.count - frame.seen + 1)

    def _alias(self, event: Any) -> None:
        value, weight = self.anchors.get(event.anchor, (None, -1))
        if weight < 0:
            raise self._stop(event, f"the alias *{shorten(event.anchor)} has no anchor before it")
        if value is _OPEN:
            raise self._stop(event, f"the alias *{shorten(event.anchor)} stands inside its own anchor")
        self.count += weight
        self.aliased += weight
        if self.aliased > ALIASED_LIMIT:
            raise self._stop(event, f"aliases stand for more than {ALIASED_LIMIT:,} values", "write less by alias")
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is _OPEN:
            raise self._stop(event, "a key is an alias", "write the key itself")
        self._put(frame, value, event)

    def _put(self, frame: _Frame | None, value: Any, event: Any) -> None:
        """Place a value where it belongs; `<<` of a mapping is kept until the mapping ends."""
        if self.wanted is not None:
            self._note(frame, event)
        if frame is None:
            self.value = value
        elif type(frame.container) is list:
            frame.container.append(value)
            frame.key += 1
        elif frame.key == "<<" and type(value) is dict and type(event) is yaml.AliasEvent:
            frame.merges.append(value)
            frame.key = _OPEN
        else:
            frame.container[frame.key] = value
            frame.key = _OPEN

    def _note(self, frame: _Frame | None, event: Any) -> None:
        path = self._path()
        if self.wanted is not None and path in self.wanted:
            mark = event.start_mark
            value = (mark.line + 1, mark.column + 1)
            in_mapping = frame is not None and type(frame.container) is dict
            self.places.setdefault(path, Place(frame.key_place if frame and in_mapping else value, value))

    def _path(self) -> Path:
        """Of the value that is being read."""
        if not self.stack:
            return ()
        frame = self.stack[-1]
        return frame.path if frame.key is _OPEN else (*frame.path, frame.key)

    def _tag(self, event: Any) -> None:
        if len(self.findings) >= MOST_FINDINGS:
            return
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        mark = event.start_mark
        self.findings.append(Finding(self._path(), f"the tag {shorten(tag)!r} is not allowed",
                                     "remove it; put a value in quotes to make it a text",
                                     line=mark.line + 1, column=mark.column + 1))  # fmt: skip

    def _stop(self, event: Any, message: str, hint: str = "") -> Unreadable:
        mark = event.start_mark
        return Unreadable(message, hint, mark.line + 1, mark.column + 1, self._path())

    def _malformed(self, error: yaml.MarkedYAMLError) -> Unreadable:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return Unreadable(f"not YAML: {error}")
        if "nesting depth" in str(error.problem):  # libyaml 0.2.6 looks ahead and gives up a thousand deep
            try:
                _Builder(self.text[: mark.index - 1]).build()  # what stands before that is too deep for us as well
            except Unreadable as exact:
                return exact
        lines = self.text.split("\n")
        shown = lines[mark.line] if mark.line < len(lines) else ""
        hint = _hint(shown, str(error.problem))
        context = f" ({error.context})" if error.context else ""
        return Unreadable(f"not YAML: {error.problem}{context}, in the line {shorten(shown.strip())!r}", hint,
                          mark.line + 1, mark.column + 1)  # fmt: skip


def _hint(line: str, problem: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return "YAML is indented by spaces: replace the tab"
    if "mapping values are not allowed" in problem:
        return "put a text that holds ': ' in quotes, and check the indentation"
    if "cannot start any token" in problem or "undefined alias" in problem or "scanning an alias" in problem:
        return "put a text that begins with one of @ ` % & * ! | > { [ in quotes"
    return "check the indentation, quotes and brackets here and in the line above"


def _usual(value: Any) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else repr(value)


class _Dumper(_DUMPER):  # type: ignore[misc, valid-type]
    """Texts of several lines as blocks, short lists and mappings in one line, no anchors; words that some reader
    takes for a boolean, number or date in quotes."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the signature is PyYAML's
        """Nothing is written as an alias."""
        return True


def _represent_text(dumper: Any, value: str) -> Any:
    lines = value.split("\n")
    block = len(lines) > 1 and lines[0] == lines[0].lstrip() != "" and all(line == line.rstrip() for line in lines)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if block else _quotes(value))


def _quotes(value: str) -> str | None:
    try:
        reads_as_text = plain_scalar(value) is value
    except ValueError:
        reads_as_text = False
    return None if reads_as_text else "'"


def _represent_list(dumper: Any, value: list[Any]) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=_is_short(value))


def _represent_mapping(dumper: Any, value: dict[str, Any]) -> Any:
    short = not value or (len(value) <= _LINE_ENTRIES and _is_short([*value, *value.values()]))
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=short)


def _is_short(values: list[Any]) -> bool:
    """Whether the values fit a line: none is a list or mapping, or long."""
    texts = [str(value) for value in values if not isinstance(value, list | dict)]
    return len(texts) == len(values) and sum(map(len, texts)) + 2 * len(texts) <= _LINE and "\n" not in "".join(texts)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(dict, _represent_mapping)
