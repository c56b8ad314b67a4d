"""`maskdet export`: write a trained classifier in the forms that run."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskdet.cli import export_onepass
from maskdet.cli.console import say
from maskdet.cli.pinning import add_pin_option, check_pin, pin_model
from maskdet.extras import require
from maskdet.wording import counted

if TYPE_CHECKING:
    from maskdet.metrics.answers import Answers
    from maskdet.training.export import Exported


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the commands."""
    parser = subparsers.add_parser(
        "export",
        help="convert a training run to LiteRT, with its model card",
        description="Convert a training run to LiteRT with float32, float16 and int8 "
        "weights, compare them with Keras, time them, choose one, evaluate it, and "
        "write it with its facts and its model card.",
    )
    parser.add_argument("run", type=Path, help="folder that `maskdet train` wrote")
    parser.add_argument(
        "--last",
        action="store_true",
        help="single-stage network: take the last epoch, not the best one",
    )
    parser.add_argument(
        "--name", help="name of the model (default: that of its recipe)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("models"),
        help="folder for the model (default: models)",
    )
    parser.add_argument(
        "--faces",
        type=Path,
        metavar="INDEX",
        help="index.csv; its test split is evaluated",
    )
    parser.add_argument(
        "--scenes",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="COCO files to evaluate on, such as kaggle-val.json",
    )
    parser.add_argument(
        "--finder", help="face detector for the evaluation (default: mtcnn)"
    )
    parser.add_argument(
        "--onnx", action="store_true", help="also write an ONNX file into RUN"
    )
    add_pin_option(parser)


def run(args: argparse.Namespace) -> int:
    """Export as asked; the work is in `maskdet.training.export`."""
    require("maskdet export", "tensorflow", "altair", "vl_convert")
    if args.onnx:
        require("maskdet export --onnx", "onnx", "tf2onnx")
    check_pin(args)
    if export_onepass.is_onepass(args.run):
        return export_onepass.run(args)
    _check(args)
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.export import export, write_run
    from maskdet.training.logs import read_recipe

    name = args.name or read_recipe(args.run)[0].name
    exported = export(args.run, name)
    _tell(exported)
    if args.onnx:
        _write_onnx(exported)
    answers = _answers(args, exported)
    for path in write_run(exported, args.out, answers, _command(args)):
        say(f"wrote {path}")
    _write_report(exported, answers)
    if exported.ships:
        pin_model(args, Path(exported.file_name).stem, exported.chosen)
    else:
        say(f"{exported.chosen.n_bytes:,} bytes are too many to ship; facts only")
    return 0


def _check(args: argparse.Namespace) -> None:
    for path in [args.faces, *args.scenes]:
        if path is not None and not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file")
    if args.last:
        raise ValueError(
            "--last is for the single-stage network; a classifier's recipe says which "
            "epoch is kept"
        )
    if bool(args.scenes) and args.faces is None:
        raise ValueError("--scenes needs --faces: a run keeps its answers on both")


def _tell(exported: Exported) -> None:
    say(f"{exported.parameters:,} parameters, temperature {exported.temperature:.3f}")
    full = exported.versions["float32"]
    for precision, version in exported.versions.items():
        lost = ", ".join(version.loses_to(full)) or "nowhere"
        say(
            f"{precision}: {version.n_bytes:,} bytes, at most {version.difference:.2g} "
            f"from Keras, {version.changed} other answers, less often right: {lost}, "
            f"1 face {version.one_ms:.2f} ms, 4 faces {version.four_ms:.2f} ms"
        )
    say(f"{exported.precision} is used: the fastest light one that is as often right")
    for title, part in (
        ("validation", exported.chosen.rightness),
        ("test", exported.test),
    ):
        for source, result in part.items():
            say(f"{title} {source}: {result}")


def _write_onnx(exported: Exported) -> None:
    from maskdet.training.crops import read_crops
    from maskdet.training.fit import probabilities
    from maskdet.training.material import VALIDATION_FILE
    from maskdet.training.onnx_file import onnx_difference, write_onnx

    path = exported.run / f"{exported.name}.onnx"
    write_onnx(exported.model, path)
    images = read_crops(exported.run / VALIDATION_FILE).images
    truth = probabilities(exported.model, images)
    difference = onnx_difference(path, images, truth)
    say(f"wrote {path}, at most {difference:.2g} from Keras")


def _answers(args: argparse.Namespace, exported: Exported) -> Mapping[str, Answers]:
    """Return what the chosen version answers on the sets that were given."""
    if args.faces is None:
        return {}
    from maskdet.classifier import MaskClassifier
    from maskdet.detectors import load_detector
    from maskdet.evaluation import collect_answers

    classifier = MaskClassifier(exported.chosen.path, context=exported.recipe.context)
    finder = load_detector(args.finder or "mtcnn")
    scenes = {path.stem: path for path in args.scenes}
    return collect_answers(classifier, finder, args.faces, scenes, watched=_watched())


def _write_report(exported: Exported, answers: Mapping[str, Answers]) -> None:
    """Put every number, the learning curves and the charts into the run's folder."""
    from maskdet.report import write_report
    from maskdet.training.logs import epochs_of

    folder = exported.run / "report"
    log = epochs_of(exported.run)
    written = write_report(folder, answers, log=log, title=exported.name)
    say(f"wrote {counted(len(written), 'file')} to {folder}")


def _watched() -> partial[Any]:
    from tqdm import tqdm

    return partial(tqdm, desc="measuring", disable=None)


def _command(args: argparse.Namespace) -> str:
    words = ["maskdet", "export", str(args.run)]
    words += ["--name", args.name] if args.name else []
    words += ["--faces", str(args.faces)] if args.faces else []
    words += ["--scenes", *map(str, args.scenes)] if args.scenes else []
    words += ["--finder", args.finder] if args.finder else []
    return shlex.join([*words, "--out", str(args.out)])
