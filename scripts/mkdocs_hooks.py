"""MkDocs hooks.

- Generate `command-line.md` from the argument parsers, and `settings.schema.json` from
  the settings, so that both are always up to date.
- Fail the build if a page loads a script, a style sheet, a font or an image from
  another server: the site must work offline.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pydantic import TypeAdapter

from maskdet import Settings, cli
from maskdet.serving.preferences import Preferences

# The tests import this file without MkDocs.
if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

COMMAND_LINE_PAGE = "command-line.md"
SETTINGS_SCHEMA_FILE = "settings.schema.json"

_INTRODUCTION = """\
# Command line

Installing maskdet adds the command `maskdet`. In a clone of the repository, `make`
puts it into `.venv/bin`. This page is generated from the program itself and shows the
same text as `maskdet COMMAND --help`.

"""

_NOTES = """
## Exit status

| Status | Meaning |
| --- | --- |
| 0 | success |
| 1 | an input cannot be read, or a value is not valid; stderr says which |
| 2 | the command line could not be parsed |
| 130 | stopped with Ctrl-C |

"""

# Attributes and CSS functions that make a browser load a file; links (`<a href>`) and
# canonical links do not.
_LOADED_URL_PATTERNS = (
    re.compile(
        r'<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc="([^"]+)"', re.I
    ),
    re.compile(
        r'<link\b(?=[^>]*\brel="(?:stylesheet|preload|preconnect|dns-prefetch|icon)")'
        r'[^>]*\bhref="([^"]+)"',
        re.I,
    ),
    re.compile(r"""url\(\s*['"]?([^'")]+)""", re.I),
    re.compile(r"""@import\s+['"]([^'"]+)""", re.I),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated files."""
    from mkdocs.structure.files import File

    for name, content in (
        (COMMAND_LINE_PAGE, build_command_line_page()),
        (SETTINGS_SCHEMA_FILE, build_settings_schema()),
    ):
        files.append(File.generated(config, name, content=content))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Fail the build if a page loads files from another server."""
    from mkdocs.exceptions import PluginError

    site = Path(config.site_dir)
    problems = [
        f"{path.relative_to(site)}: {address}"
        for path in sorted(site.rglob("*"))
        if path.suffix in {".html", ".css"}
        for address in find_external_urls(path.read_text(encoding="utf-8"))
    ]
    if problems:
        raise PluginError(
            "these pages load files from another server:\n" + "\n".join(problems)
        )


def find_external_urls(text: str) -> list[str]:
    """Return the external URLs that an HTML or CSS text loads.

    Args:
        text: the content of one file.
    """
    return [
        address
        for pattern in _LOADED_URL_PATTERNS
        for address in pattern.findall(text)
        if re.match(r"(?:https?:)?//", address)
    ]


def build_settings_schema() -> str:
    """Return the JSON schema of a settings file, whole or only with thresholds."""
    schema = TypeAdapter(Preferences | Settings).json_schema()
    for definition in schema["$defs"].values():
        summary, _, rest = definition["description"].partition("\n\n")
        definition["description"] = summary
        attributes = rest.partition("Attributes:\n")[2].partition("\n\n")[0]
        # Each is indented by 4 spaces, and its further lines by more.
        for attribute in re.split(r"\n    (?=\w)", "\n" + attributes)[1:]:
            name, _, text = attribute.partition(": ")
            definition["properties"][name]["description"] = " ".join(text.split())
    return json.dumps(schema, indent=2) + "\n"


def build_command_line_page() -> str:
    """Return the command line page as Markdown."""
    # argparse wraps usage lines at the width of the terminal.
    os.environ["COLUMNS"] = "76"
    commands = "\n".join(
        f"| [`maskdet {name}`](#maskdet-{name}) | {_format_cell(line)} |"
        for name, line in cli.COMMANDS.items()
    )
    overview = f"| Command | Purpose |\n| --- | --- |\n{commands}\n"
    sections = [section for name in cli.COMMANDS for section in _command_sections(name)]
    return _INTRODUCTION + overview + _NOTES + "\n".join(sections)


def _command_sections(name: str) -> Iterator[str]:
    """Yield the sections of a command and its subcommands."""
    subparsers = _find_subparsers(cli.build_parser(name))
    assert subparsers is not None
    yield from _parser_sections(subparsers.choices[name], level=2)


def _parser_sections(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    anchor = parser.prog.replace(" ", "-")
    parts = [f"{'#' * level} `{parser.prog}` {{ #{anchor} }}\n"]
    if parser.description:
        parts.append(f"{html.escape(parser.description, quote=False)}\n")
    parts.append(f"```text\n{parser.format_usage().removeprefix('usage: ')}```\n")
    for group in parser._action_groups:
        parts += _group_table(group, parser)
    if parser.epilog:
        text = parser.epilog
        is_multiline = "\n" in text
        parts.append(f"```text\n{text}\n```\n" if is_multiline else f"{text}\n")
    yield "\n".join(parts)
    subparsers = _find_subparsers(parser)
    for sub in (subparsers.choices if subparsers else {}).values():
        yield from _parser_sections(sub, level + 1)


def _group_table(
    group: argparse._ArgumentGroup, parser: argparse.ArgumentParser
) -> Iterator[str]:
    """Yield the title and the table of a group of arguments; nothing if it is empty."""
    formatter = parser._get_formatter()
    rows = [
        f"| `{_escape_cell(formatter._format_action_invocation(action))}` "
        f"| {_format_cell(_format_help(action, parser))} |"
        for action in group._group_actions
        if action.help != argparse.SUPPRESS
        and not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
    ]
    if not rows:
        return
    title = {"positional arguments": "Arguments", "options": "Options"}.get(
        group.title or "", (group.title or "").capitalize()
    )
    if title not in ("Arguments", "Options"):
        yield f"**{title}**\n"
    if group.description:
        yield f"{html.escape(group.description, quote=False)}\n"
    head = "Argument" if title == "Arguments" else "Option"
    yield "\n".join([f"| {head} | Description |", "| --- | --- |", *rows, ""])


def _format_help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Return the help of an argument with the placeholders of argparse expanded."""
    values: dict[str, Any] = {**vars(action), "prog": parser.prog}
    if action.choices is not None:
        values["choices"] = ", ".join(map(str, action.choices))
    return (action.help or "") % values


def _format_cell(text: str) -> str:
    return _escape_cell(html.escape(text, quote=False))


def _escape_cell(text: str) -> str:
    """Escape a text for a table cell."""
    return text.replace("|", r"\|")


def _find_subparsers(
    parser: argparse.ArgumentParser,
) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action
    return None
