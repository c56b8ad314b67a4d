"""README and docs are short, use the glossary, and match the program."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import maskdet
from maskdet import cli
from maskdet.alerts.webhook import compute_signature
from maskdet.events import Event
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "models" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
PRESENT = [path for path in PAGES if path.name != "CHANGELOG.md"]
GENERATED = DOCS / "command-line.md"
SCHEMA = DOCS / "settings.schema.json"

FENCE = re.compile(r"^( *)```.*?^\1```", re.M | re.S)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+?)(?: \{ ?#([\w-]+) ?\})?$", re.M)

# Words that are not used, and their replacement. Code is not checked.
WORDS = {
    "alarms?": "false positive",
    "bare": "no mask, unmasked",
    "certaint(?:y|ies)": "confidence",
    "films?": "video",
    "finders?": "face detector",
    "pictures?": "image",
    "python -m maskdet": "maskdet",
    "systems? 00\\d": "the name of the published system",
    "verdicts?": "class",
    "whoever": "the subject itself",
    "worn\\W+wrong\\w*": "incorrect, incorrectly worn",
}
# "An alarm" in its literal sense: a use that maskdet is not made for.
ALLOWED = re.compile(r"barrier,\s+an alarm")


def relative_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    if path == GENERATED:
        return hooks().build_command_line_page()
    return path.read_text(encoding="utf-8")


@cache
def hooks() -> ModuleType:
    path = ROOT / "scripts" / "mkdocs_hooks.py"
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the words of each `maskdet ...` line in the code blocks of a page."""
    for block in FENCE.finditer(text_of(path)):
        whole = block.group().replace("\\\n", " ")
        for line in map(str.strip, whole.splitlines()):
            if line.startswith("maskdet "):
                yield shlex.split(line, comments=True)[1:]


def test_the_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize("path", PAGES, ids=relative_name)
def test_every_command_can_be_parsed(path: Path) -> None:
    for words in commands(path):
        assert parses(words), f"cannot be parsed: maskdet {shlex.join(words)}"


def parses(words: Sequence[str]) -> bool:
    try:
        cli.parse_arguments(words)
    except SystemExit as end:
        # `--help` and `--version` end with 0.
        return not end.code
    return True


@pytest.mark.parametrize("path", PRESENT, ids=relative_name)
def test_commands_and_options_in_sentences_exist(path: Path) -> None:
    for span in CODE.findall(FENCE.sub("", text_of(path))):
        words = span.strip("`").split()
        if words[0] == "maskdet" and words[1:] and words[1] != "COMMAND":
            name = words[1] if words[1] in cli.COMMANDS else ""
            existing = options(name)
            assert words[1] in cli.COMMANDS or words[1] in existing, span
        elif words[0].startswith("--"):
            existing = all_options()
        else:
            continue
        used = [word.partition("=")[0] for word in words if word.startswith("--")]
        for option in itertools.chain.from_iterable(map(expand, used)):
            assert option in existing, span


def expand(option: str) -> list[str]:
    """Return both options that `--browser/--no-browser` stands for."""
    return option.split("/")


@cache
def all_options() -> frozenset[str]:
    return frozenset().union(*map(options, ["", *cli.COMMANDS]))


def options(command: str) -> set[str]:
    """Return every option of a command and of its subcommands."""
    strings: set[str] = set()
    parsers = [cli.build_parser(command)]
    while parsers:
        parser = parsers.pop()
        for action in parser._actions:
            strings.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return strings


@pytest.mark.parametrize("path", [*PAGES, GENERATED], ids=relative_name)
def test_every_internal_link_resolves(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text_of(path))):
        if re.match(r"[a-z]+:", link):
            continue
        address, _, anchor = link.partition("#")
        target = path if not address else (path.parent / address).resolve()
        is_generated = target in (GENERATED, SCHEMA)
        assert is_generated or target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


PATH = re.compile(
    r"(?:maskdet|pages|models|samples|tests|benchmarks|docs|scripts)/[\w./-]*"
)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_in_the_docs_of_the_code_exists(name: str) -> None:
    for span in CODE.findall(FENCE.sub("", text_of(ROOT / name))):
        path = span.strip("`")
        if PATH.fullmatch(path) and "NAME" not in path:
            is_generated = ROOT / path in (GENERATED, SCHEMA)
            assert is_generated or (ROOT / path).exists(), path


def test_every_file_and_folder_of_the_package_has_its_row() -> None:
    text = text_of(DOCS / "architecture.md")
    start = text.index("## From input to output")
    end = text.index("## Direction of imports")
    spans = {span.strip("`") for span in CODE.findall(text[start:end])}
    for span in spans:
        if re.fullmatch(r"[a-z_]+/[\w/]*(?:\.py)?", span):
            assert (ROOT / "maskdet" / span).exists() or (ROOT / span).exists(), span
    table = text[text.index("## Folders") : end]
    for path in sorted((ROOT / "maskdet").iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            assert f"`{path.name}/`" in table, path.name
        elif path.suffix == ".py" and not path.name.startswith("__"):
            assert f"`{path.name}`" in table, path.name


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    names = set()
    for title, given in HEADING.findall(FENCE.sub("", text_of(path))):
        slug = re.sub(r"[^\w\s-]", "", title).strip().lower()
        names.add(given or re.sub(r"\s+", "-", slug))
    return names


@pytest.mark.parametrize("path", [*PAGES, GENERATED], ids=relative_name)
def test_the_docs_use_the_words_of_the_glossary(path: Path) -> None:
    text = FENCE.sub("", text_of(path))
    text = ALLOWED.sub("", CODE.sub("", re.sub(r"\]\([^)]*\)", "]", text)))
    for word, instead in WORDS.items():
        match = re.search(rf"\b{word}\b", text, re.I)
        assert match is None, f"{match.group()!r}: {instead}"


# Words that are not used in code, messages and the dashboard. Stored formats of earlier
# versions keep them: file, and its number of lines with such a word.
CODE_WORDS = re.compile(
    r"(?<![A-Za-z])(?:films?|pictures?|finders?|alarms?|answers?|said|shares?|verdicts?"
    r"|whoever)(?![A-Za-z])",
    re.I,
)
OLD_FORMATS: dict[str, int] = {
    "benchmarks/pages.py": 1,
    "benchmarks/viewers.py": 2,
    "maskdet/evaluation/training_runs.py": 1,
    "maskdet/events/database.py": 1,
    "maskdet/training/classifier/recipes.py": 1,
    "maskdet/training/onepass/recipe.py": 5,
    "maskdet/training/run_log.py": 1,
    "maskdet/evaluation/predictions.py": 1,
}


def test_the_code_uses_the_words_of_the_glossary() -> None:
    counts: dict[str, int] = {}
    for folder in ("app.py", "benchmarks", "maskdet", "pages", "scripts"):
        files = sorted((ROOT / folder).rglob("*")) or [ROOT / folder]
        for path in files:
            if path.suffix not in {".css", ".html", ".jinja", ".js", ".py"}:
                continue
            lines = path.read_text(encoding="utf-8").splitlines()
            n = sum(bool(CODE_WORDS.search(line)) for line in lines)
            if n:
                counts[path.relative_to(ROOT).as_posix()] = n
    assert counts == OLD_FORMATS


def test_every_public_name_is_on_the_page_of_the_python_api() -> None:
    names = re.findall(r"^::: maskdet\.(\w+)$", text_of(DOCS / "api.md"), re.M)
    assert sorted(names) == sorted(set(maskdet.__all__) - {"__version__"})


def test_internal_numbers_of_systems_occur_nowhere() -> None:
    folders = ("benchmarks", "docs", "maskdet", "models", "pages", "scripts", "tests")
    files = itertools.chain.from_iterable((ROOT / name).rglob("*") for name in folders)
    number = re.compile(r"\bsystems? 00\d\b", re.I)
    for path in [*files, *PAGES]:
        if path.suffix in {".csv", ".json", ".md", ".py"}:
            assert not number.search(path.read_text(encoding="utf-8")), relative_name(
                path
            )


def test_the_generated_page_has_every_command_and_option() -> None:
    page = text_of(GENERATED)
    for command in cli.COMMANDS:
        assert f"## `maskdet {command}` {{ #maskdet-{command} }}" in page
    assert "### `maskdet train classifier`" in page
    assert "`--min-score F`" in page
    assert "%(" not in page
    assert "==SUPPRESS==" not in page


def test_the_schema_accepts_what_is_a_settings_file() -> None:
    schema = json.loads(hooks().build_settings_schema())
    validator = Draft202012Validator(schema)
    for definition in schema["$defs"].values():
        for name, declared in definition["properties"].items():
            assert "description" in declared, name
    for text in (Preferences().to_json(), Settings().to_json(), "{}"):
        assert validator.is_valid(json.loads(text))
    for text in (
        '{"min_score": 2}',
        '{"min_scor": 0.5}',
        '{"smoothing": "sum"}',
        '{"settings": {"class_weights": [1, 1, 2]}}',
        '{"style": {"blur": 1}}',
        '{"camera_fps": 0}',
    ):
        assert not validator.is_valid(json.loads(text)), text
        with pytest.raises(ValueError, match=r"must be|unknown setting"):
            Preferences.from_json(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<script src="https://a.example/b.js"></script>', ["https://a.example/b.js"]),
        ('<link rel="stylesheet" href="//a.example/b.css">', ["//a.example/b.css"]),
        ('<link href="https://a.example/" rel="preconnect">', ["https://a.example/"]),
        ("@font-face {src: url(https://a.example/c)}", ["https://a.example/c"]),
        ('<link rel="canonical" href="https://a.example/">', []),
        ('<a href="https://a.example/">a link</a>', []),
        ('<img src="images/live.webp"><script src="assets/a.js"></script>', []),
    ],
)
def test_external_resources_of_a_page_are_detected(
    text: str, expected: list[str]
) -> None:
    assert hooks().find_external_urls(text) == expected


README_COLUMNS = ("faces", "large", "mean")
DOCS_COLUMNS = ("faces", "large", "mask", "no_mask", "incorrect", "mean")
"""Columns of average precision in the README and in docs/accuracy.md."""


def test_the_accuracy_in_the_readme_matches_the_measurements() -> None:
    rows = table_rows(ROOT / "README.md")
    assert rows == [
        (
            name,
            precisions(name, "kaggle-val", README_COLUMNS)
            + precisions(name, "ilc-val", README_COLUMNS),
        )
        for name, _ in rows
    ]
    assert {name for name, _ in rows} == {name for name, _ in comparison()}


def test_the_accuracy_in_the_docs_matches_the_measurements() -> None:
    names = [name for name, _ in table_rows(ROOT / "README.md")]
    assert table_rows(DOCS / "accuracy.md") == [
        (name, precisions(name, of_set, DOCS_COLUMNS))
        for of_set in ("kaggle-val", "ilc-val")
        for name in names
    ]


def table_rows(path: Path) -> list[tuple[str, list[str]]]:
    """Return analyzer and average precisions of each row of the tables of accuracy."""
    row = re.compile(r"^\| \**`([\w-]+)`\**[^|]*\|((?: [.\d]+ \|)+)$", re.M)
    return [
        (name, [cell for cell in cells.split() if re.fullmatch(r"\.\d{3}", cell)])
        for name, cells in row.findall(text_of(path))
        if " ." in cells
    ]


def comparison() -> dict[tuple[str, str], dict[str, dict[str, dict[str, float]]]]:
    """Return what `maskdet evaluate analyzers` wrote, by analyzer and set."""
    content = json.loads(text_of(ROOT / "models" / "analyzers.json"))
    return {(row["analyzer"], row["set"]): row for row in content["rows"]}


def precisions(name: str, of_set: str, shown: Sequence[str]) -> list[str]:
    row = comparison()[name, of_set]
    cells = {**row["ap"], "large": row["ap_large"]["faces"]}
    return [f"{cells[key]['value']:.3f}".lstrip("0") for key in shown]


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(path), re.M | re.S)


def test_the_webhook_has_the_fields_of_the_docs() -> None:
    (documented,) = map(json.loads, code_blocks(DOCS / "events.md", "json"))
    event = Event("alert", datetime.now(UTC), "Door", "a", rule="no_mask")
    sent = json.loads(event.to_json())
    assert list(documented) == list(sent)
    assert documented["version"] == sent["version"]


def test_the_receiver_in_the_docs_accepts_only_our_signature() -> None:
    (program,) = code_blocks(DOCS / "events.md", "python")
    names: dict[str, Any] = {}
    exec(program, names)
    now = str(int(time.time()))
    signature = compute_signature("secret", now, b"{}")
    assert names["is_genuine"](b"secret", now, b"{}", signature)
    assert not names["is_genuine"](b"other", now, b"{}", signature)
    hour_ago = str(int(time.time()) - 3600)
    old_signature = compute_signature("secret", hour_ago, b"{}")
    assert not names["is_genuine"](b"secret", hour_ago, b"{}", old_signature)


def test_the_program_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = code_blocks(ROOT / "README.md", "python")
    for sample, name in (("group.jpg", "group.jpg"), ("video.mp4", "lobby.mp4")):
        shutil.copyfile(ROOT / "samples" / sample, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    # The test machine has no camera 0.
    stream = maskdet.stream
    monkeypatch.setattr(maskdet, "stream", lambda _: stream("lobby.mp4", every=100))
    exec(program, {})
    printed = capsys.readouterr().out
    assert printed.count("Mask") >= 1
    assert "Person(" in printed
    assert (tmp_path / "out.png").stat().st_size > 0
    assert (tmp_path / "marked.mp4").stat().st_size > 0
