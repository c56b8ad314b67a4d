"""`maskdet train onepass`: one network that finds faces and reads masks."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskdet.cli.console import say
from maskdet.cli.labelled import add_classes_option, class_names
from maskdet.datasets import load_training_data
from maskdet.training.logs import RECIPE_FILE
from maskdet.wording import counted

if TYPE_CHECKING:
    from maskdet.datasets import TrainingData
    from maskdet.training.onepass.fit import Material
    from maskdet.training.onepass.recipe import OnepassRecipe

NETWORK = "onepass"
"""What a recipe calls the network; `export` knows a run by it."""

PACKED_FILE = "scenes.npz"

_KNOBS = ("epochs", "steps", "batch_size", "learning_rate", "drawn", "seed")


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
        help="YuNet's ONNX file to start from, or the best.weights.h5 of another run",
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
    add("--seed", type=int, help="random seed")
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
        metavar="SOURCE",
        help="sources whose boxes were made by a detector: they do not train the exact "
        "size of boxes",
    )


def run(args: argparse.Namespace) -> int:
    """Train as asked; the work is in `maskdet.training.onepass`."""
    if args.weights is not None and not Path(args.weights).is_file():
        raise FileNotFoundError(f"--weights {args.weights}: there is no such file")
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("maskdet").setLevel(logging.INFO)
    data = load_training_data(
        args.data,
        args.val,
        seed=args.seed or 1,
        corrections=args.corrections,
        classes=class_names(args),
        progress=_progress("checking"),
    )
    for line in data.report.lines():
        say(line)
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.onepass.fit import BEST_FILE, fit
    from maskdet.training.onepass.recipe import OnepassRecipe

    knobs = {name: getattr(args, name) for name in _KNOBS}
    given = {name: value for name, value in knobs.items() if value is not None}
    recipe = dataclasses.replace(OnepassRecipe(), **given)
    views = dataclasses.replace(recipe.views, loose=(*recipe.views.loose, *args.loose))
    if args.distracted is not None:
        views = dataclasses.replace(views, distracted=args.distracted)
    recipe = dataclasses.replace(recipe, views=views)
    args.out.mkdir(parents=True, exist_ok=True)
    material = _material(args, data, recipe)
    _write_recipe(args, data, recipe, material)
    results = fit(material, args.out, recipe, args.weights, resume=args.resume)
    lines = [f"{name}: {result}" for name, result in results.items()]
    for line in lines:
        say(line)
    (args.out / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"wrote {args.out / BEST_FILE}")
    say(f"next: maskdet export {args.out}")
    return 0


def _material(
    args: argparse.Namespace, data: TrainingData, recipe: OnepassRecipe
) -> Material:
    """Pack what to train on, once: the next run with the same data takes the file."""
    from maskdet.classifier import load_classifier
    from maskdet.detectors import LandmarkFinder, load_detector
    from maskdet.training.onepass.drawing import draw_places
    from maskdet.training.onepass.fit import Material
    from maskdet.training.onepass.scenes import (
        VALIDATION_FILE,
        Scenes,
        read_places,
        read_scenes,
        save_scenes,
    )

    held_out = read_places(data.validation, _progress("reading validation"))
    # The export measures what it converts on the same pictures.
    save_scenes(Scenes.of(held_out), args.out / VALIDATION_FILE, "validation")
    made_of = _made_of(args, data, recipe)
    packed = read_scenes(args.out / PACKED_FILE, made_of)
    if packed is None:
        teacher = load_classifier(args.teacher) if args.teacher else None
        places = read_places(data.train, _progress("packing"), teacher)
        finder = None if args.finder == "none" else load_detector(args.finder)
        if isinstance(finder, LandmarkFinder):
            places += draw_places(
                places, finder, recipe.drawn, recipe.seed, _progress("drawing")
            )
        packed = Scenes.of(places)
        save_scenes(packed, args.out / PACKED_FILE, made_of)
    say(
        f"scenes to train on: {len(packed)}, with {counted(len(packed.labels), 'face')}"
    )
    return Material(packed, held_out)


def _made_of(
    args: argparse.Namespace, data: TrainingData, recipe: OnepassRecipe
) -> str:
    """Return what is the same exactly when the packed scenes would be."""
    parts: list[object] = [args.finder, args.teacher, recipe.drawn, recipe.seed]
    for one in data.train:
        parts += [one.path, one.boxes.tolist(), [int(label) for label in one.labels]]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _write_recipe(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: OnepassRecipe,
    material: Material,
) -> None:
    first, commands = _start(args.weights)
    about = {
        "network": NETWORK,
        "command": _command(args, recipe),
        "before": commands,
        "data": [Path(path).stem for path in args.data],
        "weights": first,
        "teacher": args.teacher,
        "scenes": len(material.scenes),
        "drawn_scenes": len(material.scenes) - len(data.train),
        "data_report": data.report.to_json(),
    }
    text = json.dumps(recipe.to_json() | about, indent=2) + "\n"
    (args.out / RECIPE_FILE).write_text(text, encoding="utf-8")


def _start(weights: str | None) -> tuple[str | None, list[str]]:
    """Return the file that the first of several runs began with, and their commands."""
    if weights is None:
        return None, []
    earlier = Path(weights).parent / RECIPE_FILE
    if Path(weights).suffix != ".h5" or not earlier.is_file():
        return Path(weights).name, []
    known = json.loads(earlier.read_text(encoding="utf-8"))
    return known.get("weights"), [*known.get("before", []), known["command"]]


def _command(args: argparse.Namespace, recipe: OnepassRecipe) -> str:
    """Return the command that makes this run from nothing."""
    words = ["maskdet", "train", "onepass", "--data", *args.data]
    words += ["--val", *args.val] if args.val else []
    words += ["--loose", *args.loose] if args.loose else []
    for part in args.classes:
        words += ["--classes", part]
    for option in ("corrections", "weights", "teacher", "finder"):
        value = getattr(args, option)
        words += [f"--{option}", str(value)] if value is not None else []
    for knob in _KNOBS:
        words += [f"--{knob.replace('_', '-')}", str(getattr(recipe, knob))]
    words += ["--distracted", str(recipe.views.distracted)]
    return shlex.join([*words, "--out", str(args.out)])


def _progress(title: str) -> partial[Any]:
    """Return a bar that shows on a terminal how far something is."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None, file=sys.stderr)
