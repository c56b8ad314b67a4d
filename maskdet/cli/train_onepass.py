"""`maskdet train onepass`: one network that finds faces and reads masks."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskdet.cli.console import complain, say
from maskdet.cli.labelled import (
    add_classes_option,
    add_held_out_option,
    class_names,
)
from maskdet.cli.training_run import (
    add_workers_option,
    bar,
    check_paths,
    find_with,
    finish,
    show_progress,
    with_knobs,
)
from maskdet.datasets import load_training_data
from maskdet.runs import FACTS_NAME, NETWORKS_FOLDER
from maskdet.training.logs import BEST_FILE, RECIPE_FILE
from maskdet.types import CLASSES
from maskdet.wording import counted

if TYPE_CHECKING:
    from maskdet.classifier import Classifier
    from maskdet.datasets import TrainingData
    from maskdet.detectors import LandmarkFinder
    from maskdet.training.onepass.fit import Material
    from maskdet.training.onepass.negatives import Negatives
    from maskdet.training.onepass.recipe import OnepassRecipe

NETWORK = "onepass"
"""What a recipe calls the network; `export` knows a run by it."""

PACKED_FILE = "scenes.npz"

_KNOBS = (
    "epochs",
    "steps",
    "batch_size",
    "learning_rate",
    "body_rate",
    "drawn",
    "seed",
)


def add_parser(networks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `onepass` to the networks that `train` knows."""
    parser = networks.add_parser(
        "onepass",
        help="a network that detects and classifies faces in one stage",
        description="Train one network that detects faces and classifies them, from "
        "images with boxes.",
    )
    _add_data_options(parser)
    add = parser.add_argument
    add(
        "--weights",
        metavar="FILE",
        help="YuNet's ONNX file to start from, the best.weights.h5 of another run, or "
        "an exported .tflite file with float weights",
    )
    add(
        "--teacher",
        metavar="NAME",
        help="classifier whose probabilities are added as soft targets",
    )
    add(
        "--finder",
        default="yunet",
        help="face detector with landmarks, for drawing masks on faces; `none` draws "
        "none",
    )
    add("--out", type=Path, default=Path("runs/onepass"), help="folder for the run")
    add("--epochs", type=int, help="number of epochs")
    add("--steps", type=int, help="batches per epoch")
    add("--batch-size", type=int, help="images per batch")
    add("--learning-rate", type=float, help="highest learning rate of the class branch")
    add("--drawn", type=int, help="number of images with masks drawn on")
    add(
        "--distracted",
        type=float,
        help="fraction of training images with objects pasted in that are not faces",
    )
    add(
        "--negatives-share",
        type=float,
        dest="negatives_share",
        help="fraction of training images that show one of --negatives (default: 0.25)",
    )
    add(
        "--body-rate",
        type=float,
        help="learning rate of YuNet's layers, as a fraction of --learning-rate",
    )
    add("--seed", type=int, help="random seed")
    add_workers_option(parser)
    add("--resume", action="store_true", help="continue the run in --out")


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="images with boxes: COCO, VOC or YOLO; several may be given. `maskdet "
        "label` adds boxes to images of one face",
    )
    add(
        "--val",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="images to validate on (default: those that --data marks as validation)",
    )
    add("--corrections", metavar="FILE", help="list of labels to correct")
    add_classes_option(parser)
    add(
        "--loose",
        nargs="+",
        default=[],
        metavar="SOURCE[=WEIGHT]",
        help="sources whose boxes were made by a detector: they do not train the exact "
        "size of boxes. With a weight from 0 to 1, less than others do",
    )
    add_negatives_options(parser)
    add(
        "--detection-teacher",
        type=Path,
        metavar="FILE.tflite",
        help="exported one-pass network that looks at the training images first: "
        "what it detects without a label is ignored, not trained as background, and "
        "faces that it hardly sees are shown more often",
    )


def add_negatives_options(parser: argparse.ArgumentParser) -> None:
    """Add the pictures that show no face, for both networks."""
    parser.add_argument(
        "--negatives",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="images without any face: COCO files without boxes, or folders. One in "
        "four is held out, to measure false positives",
    )
    add_held_out_option(parser)


def run(args: argparse.Namespace) -> int:
    """Train as asked; the work is in `maskdet.training.onepass`."""
    if args.weights is not None and not Path(args.weights).is_file():
        raise FileNotFoundError(f"--weights {args.weights}: there is no such file")
    watcher = args.detection_teacher
    if watcher is not None and not watcher.is_file():
        raise FileNotFoundError(f"--detection-teacher {watcher}: there is no such file")
    check_paths(args, args.out)
    show_progress()
    from maskdet.classifier import load_classifier
    from maskdet.training.onepass.fit import check_weights, fit

    recipe = _recipe(args)
    if args.weights is not None and not args.resume:
        check_weights(Path(args.weights))
    finder = _finder(args, recipe)
    teacher = load_classifier(args.teacher) if args.teacher else None
    data = load_training_data(
        args.data,
        args.val,
        seed=recipe.seed,
        corrections=args.corrections,
        classes=class_names(args),
        progress=bar("checking"),
    )
    for line in data.report.lines():
        say(line)
    _check_sources(args.loose, data)
    args.out.mkdir(parents=True, exist_ok=True)
    material = _material(args, data, recipe, teacher, finder)
    about = _about(args, data, recipe, material)
    results = fit(
        material, args.out, recipe, args.weights, resume=args.resume, about=about
    )
    lines = [f"{name}: {result}" for name, result in results.items()]
    for line in lines:
        say(line)
    (args.out / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"wrote {args.out / BEST_FILE}")
    status = finish(args.out, NETWORK, planned=recipe.epochs)
    if not status:
        say(f"next: maskdet export {args.out}")
    return status


def _recipe(args: argparse.Namespace) -> OnepassRecipe:
    from maskdet.training.onepass.recipe import OnepassRecipe

    recipe = with_knobs(OnepassRecipe(), {name: getattr(args, name) for name in _KNOBS})
    views = with_knobs(recipe.views, {"distracted": args.distracted})
    borders = (*views.borders, *(_border(word) for word in args.loose))
    recipe = with_knobs(recipe, {"negatives": args.negatives_share})
    views = dataclasses.replace(views, borders=borders)
    return dataclasses.replace(recipe, views=views)


def _finder(args: argparse.Namespace, recipe: OnepassRecipe) -> LandmarkFinder | None:
    """Return the face detector to draw with; None if nothing is drawn."""
    from maskdet.training.material import landmark_finder

    finder = find_with(args.finder) if recipe.drawn else None
    return None if finder is None else landmark_finder(finder)


def _check_sources(loose: Sequence[str], data: TrainingData) -> None:
    """Say which sources of `--loose` no image is of: a slip would go unseen."""
    known = {one.source for one in data.train}
    for source in (_border(word)[0] for word in loose):
        if source not in known | {"drawn"}:  # also what our own code draws is called so
            complain(
                f"--loose {source}: no image is of this source; there are "
                f"{', '.join(sorted(known))}"
            )


def _border(word: str) -> tuple[str, float]:
    """Return a source, and how much its boxes count: nothing unless said."""
    source, given, weight = word.partition("=")
    try:
        return source, float(weight) if given else 0.0
    except ValueError:
        raise ValueError(
            f"--loose {word}: wanted a source, or a source and a weight from 0 to 1 "
            "such as ilc=0.5"
        ) from None


def _material(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: OnepassRecipe,
    teacher: Classifier | None,
    finder: LandmarkFinder | None,
) -> Material:
    """Pack what to train on, once: a run that goes on takes the file."""
    from maskdet.training.onepass.detection_teacher import DetectionTeacher, looked_at
    from maskdet.training.onepass.drawing import draw_places
    from maskdet.training.onepass.fit import Material
    from maskdet.training.onepass.negatives import HELD_OUT_FILE, Negatives
    from maskdet.training.onepass.scenes import (
        VALIDATION_FILE,
        Scenes,
        read_places,
        read_scenes,
        save_scenes,
    )

    held_out = read_places(data.validation, bar("reading validation"))
    # The export measures what it converts on the same pictures.
    save_scenes(Scenes.of(held_out), args.out / VALIDATION_FILE, "validation")
    made_of = _made_of(args, data, recipe)
    packed = read_scenes(args.out / PACKED_FILE, made_of)
    if packed is None:
        places = read_places(data.train, bar("packing"), teacher)
        if args.detection_teacher is not None:
            seeing = DetectionTeacher(args.detection_teacher)
            places = looked_at(places, seeing, bar("looking for unlabelled"))
        if finder is not None:
            places += draw_places(
                places, finder, recipe.drawn, recipe.seed, bar("drawing")
            )
        packed = Scenes.of(places)
        save_scenes(packed, args.out / PACKED_FILE, made_of)
    say(
        f"scenes to train on: {len(packed)}, with {counted(len(packed.labels), 'face')}"
    )
    negatives = read_negatives_of(args) or Negatives()
    (args.out / HELD_OUT_FILE).unlink(missing_ok=True)
    if negatives.held_out:
        save_scenes(Scenes.of(negatives.held_out), args.out / HELD_OUT_FILE, "held out")
    return Material(packed, held_out, negatives=negatives, workers=args.workers)


def read_negatives_of(args: argparse.Namespace) -> Negatives | None:
    """Return the pictures without a face that were asked for, or None."""
    if not args.negatives:
        return None
    from maskdet.training.onepass.negatives import read_negatives

    negatives = read_negatives(
        args.negatives, args.held_out_kinds, bar("reading negatives")
    )
    say(
        f"pictures without a face: {len(negatives.train)} to train on, "
        f"{len(negatives.held_out)} held out"
    )
    return negatives


def _made_of(
    args: argparse.Namespace, data: TrainingData, recipe: OnepassRecipe
) -> str:
    """Return what is the same exactly when the packed scenes would be."""
    parts: list[object] = [args.finder, args.teacher, recipe.drawn, recipe.seed]
    if args.detection_teacher is not None:
        parts.append(hashlib.sha256(args.detection_teacher.read_bytes()).hexdigest())
    for one in data.train:
        parts += [one.path, one.boxes.tolist(), [int(label) for label in one.labels]]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _about(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: OnepassRecipe,
    material: Material,
) -> dict[str, object]:
    """Return what the card of the run needs to know beside the recipe."""
    about: dict[str, object] = {
        "network": NETWORK,
        "command": _command(args, recipe),
        "data": [Path(path).stem for path in args.data],
        "val": [Path(path).stem for path in args.val],
        "teacher": args.teacher,
        "scenes": len(material.scenes),
        "negative_pictures": len(material.negatives.train),
        "held_out_negatives": len(material.negatives.held_out),
        "drawn_scenes": len(material.scenes) - sum(not one.whole for one in data.train),
        "class_counts": [
            int((material.scenes.labels == label).sum()) for label in CLASSES
        ],
        "data_report": data.report.to_json(),
    }
    if not args.resume:
        first, commands = _start(args.weights)
        about |= {"weights": first, "before": commands}
    return about


def _start(weights: str | None) -> tuple[str | None, list[str]]:
    """Return the file that the first of several runs began with, and their commands."""
    if weights is None:
        return None, []
    known = _earlier(Path(weights))
    if known is None:
        return Path(weights).name, []
    return known.get("weights"), [*known.get("before", []), known["command"]]


def _earlier(weights: Path) -> dict[str, Any] | None:
    """Return the recipe of the run that some weights are from, if it is at hand."""
    if weights.suffix == ".tflite":
        facts = weights.parent / NETWORKS_FOLDER / weights.stem / FACTS_NAME
        if not facts.is_file():
            return None
        exported: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
        return exported.get("recipe")
    recipe = weights.parent / RECIPE_FILE
    if weights.suffix != ".h5" or not recipe.is_file():
        return None
    known: dict[str, Any] = json.loads(recipe.read_text(encoding="utf-8"))
    return known


def _command(args: argparse.Namespace, recipe: OnepassRecipe) -> str:
    """Return the command that makes this run from nothing."""
    words = ["maskdet", "train", "onepass", "--data", *args.data]
    words += ["--val", *args.val] if args.val else []
    for several in ("loose", "negatives", "held-out-kinds"):
        values = getattr(args, several.replace("-", "_"))
        words += [f"--{several}", *values] if values else []
    for part in args.classes:
        words += ["--classes", part]
    for option in ("corrections", "weights", "teacher", "finder", "detection-teacher"):
        value = getattr(args, option.replace("-", "_"))
        words += [f"--{option}", str(value)] if value is not None else []
    for knob in _KNOBS:
        words += [f"--{knob.replace('_', '-')}", str(getattr(recipe, knob))]
    words += ["--distracted", str(recipe.views.distracted)]
    if args.negatives:
        words += ["--negatives-share", str(recipe.negatives)]
    return shlex.join([*words, "--out", str(args.out)])
