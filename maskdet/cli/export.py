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
from maskdet.cli.console import print_line
from maskdet.cli.pinning import add_pin_option, check_pin_option, pin_model
from maskdet.extras import require_libraries
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.metrics.answers import Predictions
    from maskdet.training.export import ClassifierExport


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
    require_libraries("maskdet export", "tensorflow", "altair", "vl_convert")
    if args.onnx:
        require_libraries("maskdet export --onnx", "onnx", "tf2onnx")
    check_pin_option(args)
    if export_onepass.is_onepass_run(args.run):
        return export_onepass.run_onepass(args)
    _check_options(args)
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.export import export_classifier, write_classifier_export
    from maskdet.training.logs import read_recipe

    name = args.name or read_recipe(args.run)[0].name
    exported = export_classifier(args.run, name)
    _print_export(exported)
    if args.onnx:
        _write_onnx(exported)
    predictions = _collect_predictions(args, exported)
    for path in write_classifier_export(
        exported, args.out, predictions, _format_command(args)
    ):
        print_line(f"wrote {path}")
    _write_report(exported, predictions)
    if exported.can_ship:
        pin_model(args, Path(exported.file_name).stem, exported.selected)
    else:
        print_line(
            f"{exported.selected.n_bytes:,} bytes are too many to ship; facts only"
        )
    return 0


def _check_options(args: argparse.Namespace) -> None:
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


def _print_export(exported: ClassifierExport) -> None:
    print_line(
        f"{exported.n_parameters:,} parameters, temperature {exported.temperature:.3f}"
    )
    float32 = exported.versions["float32"]
    for precision, version in exported.versions.items():
        worse_on = ", ".join(version.list_regressions(float32)) or "nowhere"
        print_line(
            f"{precision}: {version.n_bytes:,} bytes, at most {version.difference:.2g} "
            f"from Keras, {version.n_changed} other answers, less often right: "
            f"{worse_on}, "
            f"1 face {version.one_face_ms:.2f} ms, 4 faces {version.four_faces_ms:.2f} "
            "ms"
        )
    print_line(
        f"{exported.weight_format} is used: the fastest light one that is as often "
        "right"
    )
    for title, results in (
        ("validation", exported.selected.metrics),
        ("test", exported.test_metrics),
    ):
        for source, result in results.items():
            print_line(f"{title} {source}: {result}")


def _write_onnx(exported: ClassifierExport) -> None:
    from maskdet.training.crops import read_crops
    from maskdet.training.fit import predict_probabilities
    from maskdet.training.material import VALIDATION_FILE
    from maskdet.training.onnx_file import compute_onnx_difference, write_onnx

    path = exported.run_folder / f"{exported.name}.onnx"
    write_onnx(exported.model, path)
    images = read_crops(exported.run_folder / VALIDATION_FILE).images
    keras_probabilities = predict_probabilities(exported.model, images)
    difference = compute_onnx_difference(path, images, keras_probabilities)
    print_line(f"wrote {path}, at most {difference:.2g} from Keras")


def _collect_predictions(
    args: argparse.Namespace, exported: ClassifierExport
) -> Mapping[str, Predictions]:
    """Return what the chosen version answers on the sets that were given."""
    if args.faces is None:
        return {}
    from maskdet.classifier import MaskClassifier
    from maskdet.detectors import load_detector
    from maskdet.evaluation import collect_predictions

    classifier = MaskClassifier(exported.selected.path, context=exported.recipe.context)
    detector = load_detector(args.finder or "mtcnn")
    scenes = {path.stem: path for path in args.scenes}
    return collect_predictions(
        classifier, detector, args.faces, scenes, progress=_make_progress_bar()
    )


def _write_report(
    exported: ClassifierExport, predictions: Mapping[str, Predictions]
) -> None:
    """Put every number, the learning curves and the charts into the run's folder."""
    from maskdet.report import write_report
    from maskdet.training.logs import read_epochs

    folder = exported.run_folder / "report"
    log = read_epochs(exported.run_folder)
    paths = write_report(folder, predictions, log=log, title=exported.name)
    print_line(f"wrote {format_count(len(paths), 'file')} to {folder}")


def _make_progress_bar() -> partial[Any]:
    from tqdm import tqdm

    return partial(tqdm, desc="measuring", disable=None)


def _format_command(args: argparse.Namespace) -> str:
    arguments = ["maskdet", "export", str(args.run)]
    arguments += ["--name", args.name] if args.name else []
    arguments += ["--faces", str(args.faces)] if args.faces else []
    arguments += ["--scenes", *map(str, args.scenes)] if args.scenes else []
    arguments += ["--finder", args.finder] if args.finder else []
    return shlex.join([*arguments, "--out", str(args.out)])
