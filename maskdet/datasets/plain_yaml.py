"""The small part of YAML that YOLO's data files use: names, lists and one level down.

A whole YAML library would be one more dependency for a file of five lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

Value = str | list[str] | dict[str, str]
"""A scalar, a list or a mapping; every scalar is text."""

_REMARK = re.compile(r"(^|\s)#.*$")
_PAIR = re.compile(r"^(.+?)\s*:(?:\s+(.*))?$")
_PART = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,]+)""")
_BELOW = (" ", "\t", "- ", "]", "}")
_LONG_TEXT = ("|", ">")


def parse(text: str, path: PurePath) -> dict[str, Value]:
    """Return the top-level keys of a plain YAML file.

    Understood are scalars, `[a, b]` and `{0: a}`, lists with `- ` and mappings one
    level down, quotes and remarks. Long texts (`|`) are skipped.

    Args:
        text: the content.
        path: names the file in complaints.

    Raises:
        ValueError: a line is none of that; the message names the file and the line.
    """
    found: dict[str, Value] = {}
    for head, below in _blocks(text):
        try:
            key, rest = _pair(head)
            found[key] = _value(rest, below)
        except ValueError as error:
            raise ValueError(f"{path}: not understood: {error}") from None
    return found


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Return each top-level line with those that belong below it."""
    head, below = "", list[str]()
    for raw in text.splitlines():
        line = _REMARK.sub("", raw).rstrip()
        if not line or line in ("---", "..."):
            continue
        if head and line.startswith(_BELOW):
            below.append(line)
            continue
        if head:
            yield head, below
        head, below = line, []
    if head:
        yield head, below


def _value(rest: str, below: Sequence[str]) -> Value:
    if rest.startswith(_LONG_TEXT):
        return ""
    if rest.startswith(("[", "{")):
        return _flow(" ".join([rest, *(line.strip() for line in below)]))
    if rest or not below:
        return _plain(rest)
    if below[0].lstrip().startswith("- "):
        return [_plain(_item(line.strip())) for line in below]
    indent = len(below[0]) - len(below[0].lstrip())
    # What is indented further belongs to a level that no reader here asks for.
    level = [line.strip() for line in below if line[indent : indent + 1].strip()]
    return {key: _plain(value) for key, value in map(_pair, level)}


def _flow(text: str) -> Value:
    closing = "]" if text.startswith("[") else "}"
    if not text.endswith(closing):
        raise ValueError(text)
    parts = [part.strip() for part in _PART.findall(text[1:-1]) if part.strip()]
    if closing == "]":
        return [_plain(part) for part in parts]
    return {key: _plain(value) for key, value in map(_pair, parts)}


def _pair(line: str) -> tuple[str, str]:
    match = _PAIR.match(line)
    if match is None:
        raise ValueError(line.strip())
    return _plain(match[1]), match[2] or ""


def _item(line: str) -> str:
    if not line.startswith("- "):
        raise ValueError(line)
    return line[2:]


def _plain(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text
