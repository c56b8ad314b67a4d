"""`maskdet models`: list, verify and fetch the model files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from maskdet.analyzer import own_model_problems
from maskdet.assets import ASSETS, asset_path, fetch, sha256_of
from maskdet.cli.choosing import add_models_option
from maskdet.cli.console import complain, reason, say, write_text
from maskdet.manifest import Asset
from maskdet.own_models import OwnModel, own_models

PRESENT, MISSING, DAMAGED = "here", "missing", "damaged"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` to the commands."""
    parser = subparsers.add_parser(
        "models",
        help="list, verify and fetch the model files",
        description="The model files that maskdet knows, and your own. Files of other "
        "projects are downloaded from their publishers, and kept only if their SHA-256 "
        "is the known one.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the files and where they are")
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
    """Do as asked and return the exit status."""
    if args.action == "list":
        return _list(args.json)
    if args.action == "verify":
        return _verify(args.names)
    return _fetch(args.names)


def _state(asset: Asset) -> tuple[str, str]:
    """Return one of the three states, and where the file lies or what is wrong."""
    try:
        return PRESENT, str(asset_path(asset.name))
    except FileNotFoundError as error:
        return MISSING, str(error)
    except RuntimeError as error:
        return DAMAGED, str(error)


def _list(target: str | None) -> int:
    states = {name: _state(asset) for name, asset in ASSETS.items()}
    if target is not None:
        rows: list[dict[str, object]] = [
            {
                "name": name,
                "file": asset.file_name,
                "state": states[name][0],
                "bytes": asset.n_bytes,
                "sha256": asset.sha256,
                "licence": asset.licence,
                "url": asset.url,
                "note": asset.note,
            }
            for name, asset in ASSETS.items()
        ]
        rows += [_own_row(model) for model in own_models().values()]
        write_text(target, json.dumps(rows, indent=2) + "\n")
        return _complaints()
    for name, asset in ASSETS.items():
        size = f"{asset.n_bytes / 1e6:.1f} MB"
        state = states[name][0]
        say(f"{name:12} {state:8} {size:>7}  {asset.licence:10}  {asset.note}")
    for name, model in own_models().items():
        size = f"{model.path.stat().st_size / 1e6:.1f} MB"
        say(
            f"{name:12} {PRESENT:8} {size:>7}  {'own':10}  {_what(model)}: {model.path}"
        )
    return _complaints()


def _complaints() -> int:
    """Tell what is wrong with own model files, a line each; 1 if anything is."""
    problems = own_model_problems()
    for line in problems:
        complain(f"own model {line}")
    return int(bool(problems))


def _own_row(model: OwnModel) -> dict[str, object]:
    return {
        "name": model.name,
        "file": str(model.path),
        "state": PRESENT,
        "bytes": model.path.stat().st_size,
        "sha256": sha256_of(model.path),
        "licence": "own",
        "url": "",
        "note": _what(model),
    }


def _what(model: OwnModel) -> str:
    if model.kind == "classifier":
        return f"Your classifier; --classifier {model.name}"
    return f"Your single-stage network; --analyzer {model.name} or {model.name}-fast"


def _verify(names: Sequence[str]) -> int:
    """Check what is named, else all that is here or must be; 1 if any is wrong."""
    wrong = False
    for name in names or ASSETS:
        if name not in ASSETS:
            raise ValueError(f"model must be one of {', '.join(ASSETS)}, not {name!r}")
        state, line = _state(ASSETS[name])
        needed = bool(names) or ASSETS[name].ships
        if state == PRESENT:
            say(f"{name}: sha256 is right, {line}")
        elif state == DAMAGED or needed:
            wrong = True
            complain(line)
        else:
            say(f"{name}: not here, and not needed unless you ask for it")
    for model in () if names else own_models().values():
        # What its facts do not fit is not among them.
        say(f"{model.name}: own model can be used, {model.path}")
    return int(wrong) | (0 if names else _complaints())


def _fetch(names: Sequence[str]) -> int:
    failed = False
    for name in names:
        try:
            say(f"{name}: {_fetched(name)}")
        except (ValueError, OSError, RuntimeError) as error:
            failed = True
            complain(f"{name}: {reason(error)}")
    return int(failed)


def _fetched(name: str) -> str:
    if not sys.stderr.isatty():
        return str(fetch(name))
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, desc=name, leave=False) as bar:

        def show(received: int, expected: int) -> None:
            bar.total = expected
            bar.update(received - bar.n)

        return str(fetch(name, show))
