"""`maskdet models`: list, verify and download the model files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from maskdet.analyzers.pipelines import list_own_model_problems
from maskdet.cli.console import (
    print_line,
    print_warning,
    show_progress,
    write_json,
)
from maskdet.cli.options import add_models_option
from maskdet.model_files.model_zoo import (
    MODEL_FILES,
    ModelFile,
    fetch_model,
    model_path,
    sha256_of,
)
from maskdet.model_files.own_models import OwnModel, get_own_models
from maskdet.wording import format_error_reason

PRESENT, MISSING, DAMAGED = "present", "missing", "damaged"

_OWN = "own"
"""Licence of the user's own models."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` to the commands."""
    parser = subparsers.add_parser(
        "models",
        help="list, verify and download model files",
        description="List, verify and download the model files of maskdet and your "
        "own. Files of other projects are downloaded from their publishers, and kept "
        "only if their SHA-256 matches.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the files and their states")
    listing.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    add_models_option(listing)
    verify = actions.add_parser(
        "verify", help="check the SHA-256 of every file that is present"
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="only these")
    add_models_option(verify)
    fetching = actions.add_parser("fetch", help="download files from their publishers")
    fetching.add_argument(
        "names", nargs="+", metavar="NAME", help="name of a file, see `models list`"
    )


def run(args: argparse.Namespace) -> int:
    """Run the action and return the exit status."""
    if args.action == "list":
        return _list_models(args.json)
    if args.action == "verify":
        return _verify_models(args.names)
    return _fetch_models(args.names)


def _check_state(asset: ModelFile) -> tuple[str, str]:
    """Return one of the three states, and the path or the error."""
    try:
        return PRESENT, str(model_path(asset.name))
    except FileNotFoundError as error:
        return MISSING, str(error)
    except RuntimeError as error:
        return DAMAGED, str(error)


def _list_models(json_path: str | None) -> int:
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "file": asset.file_name,
            "state": _check_state(asset)[0],
            "bytes": asset.n_bytes,
            "sha256": asset.sha256,
            "licence": asset.licence,
            "url": asset.url,
            "note": asset.note,
        }
        for name, asset in MODEL_FILES.items()
    ]
    rows += [
        {
            "name": model.name,
            "file": str(model.path),
            "state": PRESENT,
            "bytes": model.path.stat().st_size,
            "sha256": sha256_of(model.path),
            "licence": _OWN,
            "url": "",
            "note": _describe_own_model(model),
        }
        for model in get_own_models().values()
    ]
    if json_path is not None:
        write_json(json_path, rows)
        return _print_own_model_problems()
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB"
        path = f": {row['file']}" if row["licence"] == _OWN else ""
        print_line(
            f"{row['name']:12} {row['state']:8} {size:>7}  {row['licence']:10}  "
            f"{row['note']}{path}"
        )
    return _print_own_model_problems()


def _print_own_model_problems() -> int:
    """Print a warning for each invalid own model; return 1 if there are any."""
    problems = list_own_model_problems()
    for problem in problems:
        print_warning(f"own model {problem}")
    return int(bool(problems))


def _describe_own_model(model: OwnModel) -> str:
    if model.kind == "classifier":
        return f"Your classifier; --classifier {model.name}"
    return f"Your single-stage network; --analyzer {model.name} or {model.name}-fast"


def _verify_models(names: Sequence[str]) -> int:
    """Verify the named files, or all present or bundled ones; return 1 on an error."""
    has_error = False
    for name in names or MODEL_FILES:
        if name not in MODEL_FILES:
            raise ValueError(
                f"model must be one of {', '.join(MODEL_FILES)}, not {name!r}"
            )
        state, detail = _check_state(MODEL_FILES[name])
        needed = bool(names) or MODEL_FILES[name].is_bundled
        if state == PRESENT:
            print_line(f"{name}: sha256 matches, {detail}")
        elif state == DAMAGED or needed:
            has_error = True
            print_warning(detail)
        else:
            print_line(f"{name}: not present, only needed for some options")
    for model in () if names else get_own_models().values():
        # Models that do not match their facts are not in this list.
        print_line(f"{model.name}: own model is valid, {model.path}")
    return int(has_error) | (0 if names else _print_own_model_problems())


def _fetch_models(names: Sequence[str]) -> int:
    failed = False
    for name in names:
        try:
            with show_progress(name, "B", unit_scale=True) as progress:
                path = fetch_model(name, progress)
            print_line(f"{name}: {path}")
        except (ValueError, OSError, RuntimeError) as error:
            failed = True
            print_warning(f"{name}: {format_error_reason(error)}")
    return int(failed)
