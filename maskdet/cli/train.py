"""`python -m maskdet train classifier`: make a classifier from labelled pictures."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.datasets import Example, class_counts, read_coco, read_folder, read_index

if TYPE_CHECKING:
    from maskdet.detectors import Detector
    from maskdet.training.samples import Progress, Samples

# Parts of a data set whose file does not say in its name which split it is.
_TRAIN_SPLIT = "train"
_VAL_SPLIT = "val"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the commands."""
    parser = subparsers.add_parser(
        "train",
        help="train a mask classifier on your pictures",
        description="Fine-tune MobileNetV2 to tell mask, no mask and worn wrongly.",
    )
    parser.add_argument("network", choices=("classifier",), help="what to train")
    parser.add_argument(
        "--faces",
        action="append",
        default=[],
        metavar="INDEX",
        help="index.csv, or a folder for each class inside train/ and val/",
    )
    parser.add_argument(
        "--scenes",
        action="append",
        nargs="+",
        default=[],
        metavar="FILE",
        help="COCO files to train on",
    )
    parser.add_argument(
        "--val-scenes",
        action="append",
        nargs="+",
        default=[],
        metavar="FILE",
        help="COCO files to validate on (default: the -val.json beside a -train.json)",
    )
    parser.add_argument(
        "--weights", help="start: a .weights.h5 file, or `imagenet` to fetch it"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the run")
    parser.add_argument("--epochs", type=int, default=7, help="rounds")
    parser.add_argument("--steps", type=int, default=140, help="batches an epoch")
    parser.add_argument("--size-px", type=int, default=96, help="side of the input")
    parser.add_argument("--seed", type=int, default=1, help="fixes every choice")
    parser.add_argument(
        "--finder", default="yunet", help="finds the faces in --faces; `none` for none"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out"
    )


def run(args: argparse.Namespace) -> int:
    """Train as asked; the work is in `maskdet.training`."""
    train, validation = _examples(args)
    _print_counts("train", train)
    _print_counts("val", validation)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("maskdet").setLevel(logging.INFO)

    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.fit import (
        BEST_FILE,
        VALIDATION_FILE,
        Recipe,
        Start,
        fit,
    )
    from maskdet.training.samples import pack_validation, save_samples

    recipe = Recipe(
        size_px=args.size_px, epochs=args.epochs, steps=args.steps, seed=args.seed
    )
    args.out.mkdir(parents=True, exist_ok=True)
    packed = _packed(args, train)
    held_out = pack_validation(validation, _progress("validation"), recipe.size_px)
    save_samples(held_out, args.out / VALIDATION_FILE)
    about = {"command": _command(args), "data": _names(args), "crops": len(packed)}
    start = Start(args.weights, args.resume, about)
    best = fit(packed, held_out, args.out, recipe, start)
    for source, result in best.items():
        print(f"{source}: {result}")
    print(f"wrote {args.out / BEST_FILE}; next: python -m maskdet export {args.out}")
    return 0


def _command(args: argparse.Namespace) -> str:
    """Return the command that makes this run from nothing."""
    words = ["python", "-m", "maskdet", "train", args.network]
    for name in args.faces:
        words += ["--faces", name]
    for option, names in (
        ("--scenes", _flat(args.scenes)),
        ("--val-scenes", _flat(args.val_scenes)),
    ):
        words += [option, *names] if names else []
    if args.weights is not None:
        words += ["--weights", args.weights]
    for option in ("size_px", "epochs", "steps", "seed", "finder", "out"):
        words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    return shlex.join(words)


def _names(args: argparse.Namespace) -> list[str]:
    """Return what the data is called, such as `faces` and `kaggle-train`."""
    faces = [Path(name).resolve() for name in args.faces]
    folders = [path if path.is_dir() else path.parent for path in faces]
    return [folder.name for folder in folders] + [
        Path(name).stem for name in _flat(args.scenes)
    ]


def _examples(args: argparse.Namespace) -> tuple[list[Example], list[Example]]:
    train: list[Example] = []
    validation: list[Example] = []
    for name in args.faces:
        found = read_folder(name) if Path(name).is_dir() else read_index(name)
        train += [one for one in found if one.split in (_TRAIN_SPLIT, "")]
        validation += [one for one in found if one.split == _VAL_SPLIT]
    scenes = _flat(args.scenes)
    for name in scenes:
        train += read_coco(name)
    for name in _flat(args.val_scenes) or _val_files(scenes):
        validation += read_coco(name)
    if not train:
        raise ValueError("nothing to train on; give --faces or --scenes")
    if not validation:
        raise ValueError(
            "nothing to validate on; give --val-scenes, or --faces with a val split"
        )
    return train, validation


def _flat(groups: Sequence[Sequence[str]]) -> list[str]:
    return [name for group in groups for name in group]


def _val_files(scenes: Sequence[str]) -> list[str]:
    names = [name.replace("-train.json", "-val.json") for name in scenes]
    return [
        name
        for name, train in zip(names, scenes, strict=True)
        if name != train and Path(name).is_file()
    ]


def _packed(args: argparse.Namespace, train: list[Example]) -> Samples:
    """Cut the training crops, or take them from the run's folder if nothing changed."""
    from maskdet.training.samples import (
        pack_training,
        read_samples,
        save_samples,
        stored_made_of,
    )

    parts = [f"{one.path} {one.boxes.tolist()} {one.label_values}" for one in train]
    made_of = hashlib.sha256("\n".join([args.finder, *parts]).encode()).hexdigest()
    path = args.out / "crops.npz"
    if stored_made_of(path) != made_of:
        packed = pack_training(train, _finder(args.finder), _progress("crops"))
        save_samples(packed, path, made_of)
    return read_samples(path)


def _finder(name: str) -> Detector | None:
    if name == "none":
        return None
    from maskdet.detectors import load_detector

    return load_detector(name)


def _progress(title: str) -> Progress:
    """Return a bar that shows on a terminal how far cutting crops is."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None)


def _print_counts(title: str, examples: Sequence[Example]) -> None:
    counts = class_counts(examples)
    listed = ", ".join(f"{label.key} {n}" for label, n in counts.items())
    print(f"{title}: {len(examples)} pictures, faces: {listed}")
