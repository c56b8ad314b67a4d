"""`maskdet export`: convert a trained classifier or single-stage network to LiteRT."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.cli.console import print_line
from maskdet.cli.train_onepass import ONEPASS_NETWORK
from maskdet.cli.training_run import format_command, make_progress_bar
from maskdet.extras import require_libraries
from maskdet.model_files.model_zoo import MANIFEST_NAME, pin_checksum, read_manifest
from maskdet.training.run_log import RECIPE_FILE, read_recipe_json
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.metrics.classification import Predictions
    from maskdet.training.classifier.export import ClassifierExport
    from maskdet.training.export import ModelExport, Version


def _pin_model(
    args: argparse.Namespace, exported: ModelExport[Version], name: str
) -> None:
    """Write size and sha256 of a model into the manifest, or else print them."""
    manifest, file = args.out / MANIFEST_NAME, exported.selected
    if args.pin:
        pin_checksum(manifest, name, file.sha256, file.n_bytes)
        print_line(f"pinned {name} in {manifest}")
    else:
        print_line(
            f"not pinned in {manifest}; --pin writes {name}, sha256 {file.sha256}, "
            f"{file.n_bytes} bytes"
        )


def _is_onepass_run(run: Path) -> bool:
    """Return whether the recipe of a run is that of the single-stage network."""
    try:
        recipe = read_recipe_json(run / RECIPE_FILE)
    except (OSError, ValueError):
        return False  # the classifier export reports the error
    return recipe.get("network") == ONEPASS_NETWORK


def _run_onepass(args: argparse.Namespace) -> int:
    """Export a single-stage network; see `maskdet.training.onepass.export`."""
    if args.faces or args.scenes or args.detector or args.onnx:
        raise ValueError(
            "--faces, --scenes, --detector and --onnx are for classifiers; evaluate "
            "with `maskdet evaluate scenes FILE --analyzer onepass`"
        )
    from maskdet.training.onepass.export import export_onepass, write_onepass_export

    exported = export_onepass(
        args.run, args.name or ONEPASS_NETWORK, use_last_epoch=args.last
    )
    _print_versions(
        exported,
        "the smallest fast version without loss",
        lambda version: " and ".join(f"{ms:.2f}" for ms in version.times_ms) + " ms",
    )
    for path in write_onepass_export(exported, args.out, _format_command(args)):
        print_line(f"wrote {path}")
    _pin_model(args, exported, exported.name)
    return 0


def _print_versions(
    exported: ModelExport[Version], reason: str, describe: Callable[[Version], str]
) -> None:
    """Print the versions of an export, which one is used, and its metrics."""
    print_line(
        f"{exported.n_parameters:,} parameters, temperature {exported.temperature:.3f}"
    )
    regressions = exported.list_regressions()
    for weights, version in exported.versions.items():
        print_line(
            f"{weights}: {version.n_bytes:,} bytes, maximum difference to Keras "
            f"{version.difference:.2g}, worse than float32: "
            f"{regressions[weights] or 'nowhere'}, {describe(version)}"
        )
    print_line(f"{exported.weight_format} is used: {reason}")
    for source, result in exported.selected.metrics.items():
        print_line(f"validation {source}: {result}")


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
        help="single-stage network: use the last epoch instead of the best one",
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
        "--detector", help="face detector for the evaluation (default: mtcnn)"
    )
    parser.add_argument(
        "--onnx", action="store_true", help="also write an ONNX file into RUN"
    )
    parser.add_argument(
        "--pin",
        action="store_true",
        help=f"write size and sha256 of the model into {MANIFEST_NAME} of --out",
    )


def run(args: argparse.Namespace) -> int:
    """Export the run; see `maskdet.training.classifier.export`."""
    require_libraries("maskdet export", "tensorflow", "vl_convert")
    if args.onnx:
        require_libraries("maskdet export --onnx", "tf2onnx", "onnx")
    if args.pin:
        read_manifest(args.out / MANIFEST_NAME)  # check it before the work
    if _is_onepass_run(args.run):
        return _run_onepass(args)
    _check_options(args)
    from maskdet.training.classifier.export import (
        export_classifier,
        write_classifier_export,
    )
    from maskdet.training.classifier.recipes import read_recipe

    name = args.name or read_recipe(args.run)[0].name
    exported = export_classifier(args.run, name)
    _print_versions(
        exported,
        "the fastest small version with the same accuracy",
        lambda version: (
            f"{version.n_changed} changed predictions, 1 face "
            f"{version.one_face_ms:.2f} ms, 4 faces {version.four_faces_ms:.2f} ms"
        ),
    )
    for source, result in exported.test_metrics.items():
        print_line(f"test {source}: {result}")
    if args.onnx:
        _write_onnx(exported)
    predictions = _collect_predictions(args, exported)
    for path in write_classifier_export(
        exported, args.out, predictions, _format_command(args)
    ):
        print_line(f"wrote {path}")
    _write_report(exported, predictions)
    if exported.can_ship:
        _pin_model(args, exported, Path(exported.file_name).stem)
    else:
        print_line(
            f"not written: {exported.selected.n_bytes:,} bytes are too large to ship; "
            "only the facts are"
        )
    return 0


def _check_options(args: argparse.Namespace) -> None:
    for path in [args.faces, *args.scenes]:
        if path is not None and not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file")
    if args.last:
        raise ValueError(
            "--last is for the single-stage network; the recipe of a classifier "
            "defines which epoch is kept"
        )
    if bool(args.scenes) and args.faces is None:
        raise ValueError("--scenes needs --faces: a run stores its predictions on both")


def _write_onnx(exported: ClassifierExport) -> None:
    from maskdet.training.classifier.crops import read_crops
    from maskdet.training.classifier.data import VALIDATION_FILE
    from maskdet.training.classifier.export import compute_onnx_difference, write_onnx
    from maskdet.training.classifier.fit import predict_probabilities

    path = exported.run_folder / f"{exported.name}.onnx"
    write_onnx(exported.model, path)
    images = read_crops(exported.run_folder / VALIDATION_FILE).images
    keras_probabilities = predict_probabilities(exported.model, images)
    difference = compute_onnx_difference(path, images, keras_probabilities)
    print_line(f"wrote {path}, maximum difference to Keras {difference:.2g}")


def _collect_predictions(
    args: argparse.Namespace, exported: ClassifierExport
) -> Mapping[str, Predictions]:
    """Return the predictions of the chosen version on the given sets."""
    if args.faces is None:
        return {}
    from maskdet.classifier import MaskClassifier
    from maskdet.detectors import load_detector
    from maskdet.evaluation import collect_predictions

    classifier = MaskClassifier(exported.selected.path, context=exported.recipe.context)
    detector = load_detector(args.detector or "mtcnn")
    scenes = {path.stem: path for path in args.scenes}
    return collect_predictions(
        classifier,
        detector,
        args.faces,
        scenes,
        progress=make_progress_bar("evaluating"),
    )


def _write_report(
    exported: ClassifierExport, predictions: Mapping[str, Predictions]
) -> None:
    """Write the metrics, learning curves and charts into the folder of the run."""
    from maskdet.evaluation.report import write_report
    from maskdet.training.run_log import read_epochs

    folder = exported.run_folder / "report"
    log = read_epochs(exported.run_folder)
    paths = write_report(folder, predictions, log=log, title=exported.name)
    print_line(f"wrote {format_count(len(paths), 'file')} to {folder}")


def _format_command(args: argparse.Namespace) -> str:
    options = {
        "--name": args.name,
        "--last": args.last,
        "--faces": args.faces,
        "--scenes": args.scenes,
        "--detector": args.detector,
        "--out": args.out,
    }
    return format_command(["export", str(args.run)], options)
