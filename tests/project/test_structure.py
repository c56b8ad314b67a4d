"""What a reader may rely on: one meaning for each name, one idea for each file."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "maskdet"
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Every command has these; see `maskdet.cli.COMMANDS`.
COMMAND_PROTOCOL = {"add_parser", "run"}
# A program of its own, started as a child process, each.
PROGRAM = {"main"}

MAX_LINES = 660
MAX_FUNCTION_LINES = 60
MAX_FILES = 23  # `cli` has a file for each command, the next largest folder 19


def dotted(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return ".".join(part for part in relative.parts if part != "__init__")


MODULES = {dotted(path): path for path in TREES}


def public_definitions() -> Iterator[tuple[str, str]]:
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef | Function):
                is_command = "cli" in path.parts and node.name in COMMAND_PROTOCOL
                if not (node.name.startswith("_") or is_command):
                    yield node.name, dotted(path)


def test_no_two_public_classes_or_functions_share_a_name() -> None:
    modules = defaultdict(list)
    for name, module in public_definitions():
        modules[name].append(module)
    assert {
        name: where
        for name, where in modules.items()
        if len(where) > 1 and name not in PROGRAM
    } == {}


def test_exceptions_end_in_error() -> None:
    bases = defaultdict(set)
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                bases[node.name] |= names

    def is_exception(name: str) -> bool:
        return name.endswith(("Error", "Exception")) or any(
            map(is_exception, bases.get(name, ()))
        )

    assert [
        name
        for name, parents in bases.items()
        if any(map(is_exception, parents)) and not name.endswith("Error")
    ] == []


@pytest.mark.parametrize("path", TREES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_and_its_functions_are_short_enough_to_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES, "cut it where there are two ideas"
    long = {
        node.name: count_code_lines(node)
        for node in ast.walk(TREES[path])
        if isinstance(node, Function) and count_code_lines(node) > MAX_FUNCTION_LINES
    }
    assert long == {}


def count_code_lines(function: Function) -> int:
    """Return the lines of a function without its docstring."""
    first, *rest = function.body
    has_docstring = bool(ast.get_docstring(function)) and bool(rest)
    start = rest[0].lineno if has_docstring else first.lineno
    return (function.end_lineno or start) - start + 1


def test_a_folder_has_few_files() -> None:
    counts = Counter(path.parent for path in TREES)
    assert max(counts.values()) <= MAX_FILES


def test_every_folder_is_a_package() -> None:
    assert {path.parent for path in TREES} == {
        path.parent for path in TREES if path.name == "__init__.py"
    }


def test_no_module_imports_itself_by_a_detour() -> None:
    imports = {dotted(path): set(imported(tree)) for path, tree in TREES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done:
            return
        for other in sorted(imports[module] - {module}):
            visit(other, (*trail, module))
        done.add(module)

    for module in imports:
        visit(module, ())


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules of the package that a file needs before it can be used."""
    for node in run_on_import(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES:
                    yield whole
                elif node.module in MODULES:
                    yield node.module


def run_on_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from run_on_import([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from run_on_import(node.body)
        else:
            yield node


def test_a_page_of_the_dashboard_is_a_shim() -> None:
    for path in (ROOT / "pages").glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 20, path.name


def test_cores_are_counted_in_one_place() -> None:
    """Those of the process, as it may be in a container."""
    counted = [
        path.relative_to(ROOT).as_posix()
        for folder in ("benchmarks", "maskdet", "scripts", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "cpu_count()"
        in path.read_text(encoding="utf-8").replace('"cpu_count()"', "")
    ]
    assert counted == ["maskdet/threads.py"]
