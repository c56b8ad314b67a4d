"""Which model files exist, where each may come from, and how to find it on disk."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from maskdet.download import Progress, download

_ROOT = Path(__file__).resolve().parents[1]

MODEL_DIR_VARIABLE = "MASKDET_MODEL_DIR"
"""Environment variable that names a folder of model files that do not ship."""


@dataclass(frozen=True)
class Asset:
    """One model file.

    Attributes:
        name: what `asset_path` and `models fetch` call it.
        file_name: its name on disk, in every folder that is searched.
        sha256: of the whole file, in hexadecimal.
        n_bytes: its exact size; a download that grows beyond it is cut off.
        licence: SPDX name of its licence.
        url: HTTPS address of its publisher; empty for a file of our own.
        note: what it is, in one sentence.
        ships: whether it is committed to this project under `models/`.
        also: names of the files without which this one is of no use.
    """

    name: str
    file_name: str
    sha256: str
    n_bytes: int
    licence: str
    url: str
    note: str
    ships: bool = False
    also: tuple[str, ...] = ()


# Our own files: name, sha256, bytes. `maskdet export --pin` writes these lines.
_PINNED = """
classifier 35a494f1c2cfed84d63f9a3222d32f7bb461b382774887dc839c950308bd51b4 4518760
tutorial 3d17d9a810e33cd54b19d328f90e7f56b315917180ec8fb0698045ab19c346e7 2904384
finetune 94ce14f1bab41e27ff68d8ff59c09fc8065be663404f24556cd1be0980b66e41 2739424
early-stop 4b37c464e87d87587cad420ad548a26f091e95f76d0ffad8dc96a06e217c3b71 2904384
onepass 95f32419449d1e727a5ceac3d6d9b1ac3cb3f31cf0602169e4ed0fa157e21dd7 553912
"""

_NOTES = {
    "classifier": "Our mask classifier: MobileNetV2, three outputs.",
    "tutorial": "For comparison: the tutorial recipe of systems 001 and 002.",
    "finetune": "For comparison: the two-stage fine-tuning of system 003.",
    "early-stop": "For comparison: the early stopping of system 004.",
    "onepass": "Our one-pass network: finds faces and reads the mask at once.",
}

_OURS = tuple(
    Asset(
        name=name,
        file_name=f"{name}.tflite",
        sha256=sha256,
        n_bytes=int(n_bytes),
        licence="Apache-2.0",
        url="",
        note=_NOTES.get(name, "A classifier of our own."),
        ships=True,
    )
    for name, sha256, n_bytes in map(str.split, _PINNED.strip().splitlines())
)

_GITHUB = "https://raw.githubusercontent.com"

# The addresses name a commit, so that what they give cannot change. YuNet's commit
# and sum are published together by a third party, and OpenCV's own list of models
# names the commit and the SHA-1 of `ssd`; of `ssd-graph` and `aizoo-graph` the length
# was compared. None could be downloaded where this table was written: if an address
# is wrong, the sha256 says so and nothing is installed.
_TABLE: tuple[Asset, ...] = (
    Asset(
        name="yunet",
        file_name="yunet_n_dynamic.onnx",
        sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        n_bytes=322906,
        licence="Apache-2.0",
        url=f"{_GITHUB}/ShiqiYu/libfacedetection.train/"
        "dca340aa082c71081a68d17db8e58b33a58a914b/onnx/yunet_n_dynamic.onnx",
        note="YuNet face finder with five landmarks, 76 thousand parameters.",
    ),
    Asset(
        name="ssd",
        file_name="opencv_face_detector_uint8.pb",
        sha256="5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",
        n_bytes=2727750,
        licence="Apache-2.0",
        url=f"{_GITHUB}/opencv/opencv_3rdparty/"
        "8033c2bc31b3256f0d461c919ecc01c2428ca03b/opencv_face_detector_uint8.pb",
        note="OpenCV's ResNet-10 SSD face finder, 8-bit weights.",
        also=("ssd-graph",),
    ),
    Asset(
        name="ssd-graph",
        file_name="opencv_face_detector.pbtxt",
        sha256="5397808362fc6fb7c4044484848e297b22449d913a267fa7f8bd9d86dce29144",
        n_bytes=34912,
        licence="Apache-2.0",
        url=f"{_GITHUB}/opencv/opencv/ab129cfb80ea437e194c702f4b39fd67153ee15c/"
        "samples/dnn/face_detector/opencv_face_detector.pbtxt",
        note="The layers that the weights of `ssd` belong to.",
    ),
    Asset(
        name="aizoo",
        file_name="aizoo_260.caffemodel",
        sha256="3c2e89cffdc9459a69dd5c2e4c1ca263e6488a56a5a37d81ca2ff32344fbf740",
        n_bytes=4053526,
        licence="MIT",
        url=f"{_GITHUB}/AIZOOTech/FaceMaskDetection/"
        "b3098ec06656af5a051db434897d38a8951f39f9/models/face_mask_detection.caffemodel",
        note="AIZOO's one-pass mask detector at 260 px, to compare with.",
        also=("aizoo-graph",),
    ),
    Asset(
        name="aizoo-graph",
        file_name="aizoo_260.prototxt",
        sha256="8de363802d3557f3d9ff7e72dd61eead60f5e9e145bb962d7979b99ff85d4212",
        n_bytes=13490,
        licence="MIT",
        url=f"{_GITHUB}/AIZOOTech/FaceMaskDetection/"
        "7d61cfcc76812d036bab74fd98167053af762e3a/models/face_mask_detection.prototxt",
        note="The layers that the weights of `aizoo` belong to.",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in (*_OURS, *_TABLE)}
"""Every model file that maskdet knows, by name."""

_verified: dict[tuple[Path, int, int], str] = {}


def asset(name: str) -> Asset:
    """Return the table's row for `name`.

    Raises:
        ValueError: the table has no such name.
    """
    if name not in ASSETS:
        raise ValueError(f"model must be one of {', '.join(ASSETS)}, not {name!r}")
    return ASSETS[name]


def pin_line(name: str, sha256: str, n_bytes: int) -> str:
    """Return the line of the table of our own files for one of them."""
    return f"{name} {sha256} {n_bytes}"


def pin(name: str, sha256: str, n_bytes: int, table: Path = Path(__file__)) -> None:
    """Write the sum of one of our own files into this very file, for the next start.

    Args:
        name: of the file in `models/`, without its ending.
        sha256: of the whole file.
        n_bytes: its size.
        table: the file to change.

    Raises:
        RuntimeError: the table is not where it should be.
    """
    head, start, rest = table.read_text(encoding="utf-8").partition('_PINNED = """\n')
    lines, end, tail = rest.partition('"""\n')
    if not start or not end:
        raise RuntimeError(f"{table}: the table of our own files is not there")
    kept = {line.split()[0]: line for line in lines.splitlines()}
    kept[name] = pin_line(name, sha256, n_bytes)
    text = head + start + "".join(f"{line}\n" for line in kept.values()) + end + tail
    table.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """Return the folder that `fetch` writes to; it need not exist yet."""
    return platformdirs.user_cache_path("maskdet", appauthor=False) / "models"


def folders() -> tuple[Path, ...]:
    """Return the folders that are searched for model files, in this order.

    First what ships, then the folder that `MASKDET_MODEL_DIR` names, then what
    `fetch` downloaded, so that the files of a named folder come before older downloads.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set, and is not a folder.
    """
    return (_ROOT / "models", *_extra_folder(), cache_folder())


def _extra_folder() -> tuple[Path, ...]:
    value = os.environ.get(MODEL_DIR_VARIABLE, "")
    if not value:
        return ()
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"{MODEL_DIR_VARIABLE} is {value!r}, which is not a folder; it must name "
            "a folder of model files; correct it or unset it"
        )
    return (folder,)


def asset_path(name: str) -> Path:
    """Return where the file called `name` lies, its sha256 checked.

    Raises:
        ValueError: the table has no such name, or `MASKDET_MODEL_DIR` is not a folder.
        FileNotFoundError: no folder has the file; the message says how to get it.
        RuntimeError: the file is not the one that was meant.
    """
    wanted = asset(name)
    for folder in folders():
        path = folder / wanted.file_name
        if path.is_file():
            _check(path, wanted)
            return path
    if wanted.ships:
        remedy = f"it belongs to this project, restore models/{wanted.file_name}"
    else:
        remedy = f"get it with: python -m maskdet models fetch {name}"
    raise FileNotFoundError(f"model file {wanted.file_name} is missing; {remedy}")


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Return where the file lies, downloaded from its publisher if it is missing.

    The files that it needs beside it (`Asset.also`) are fetched too.

    Raises:
        ValueError: the table has no such name, or `MASKDET_MODEL_DIR` is not a folder.
        FileNotFoundError: a file that ships with the project is missing.
        ConnectionError: the publisher's address could not be read.
        RuntimeError: what came, or what lay there, is not the file that was meant.
    """
    wanted = asset(name)
    for companion in wanted.also:
        fetch(companion, progress)
    target = cache_folder() / wanted.file_name
    if target.is_file() and sha256_of(target) != wanted.sha256:
        target.unlink()
    try:
        return asset_path(name)
    except FileNotFoundError:
        if not wanted.url:
            raise
    download(
        wanted.url,
        target,
        sha256=wanted.sha256,
        n_bytes=wanted.n_bytes,
        progress=progress,
    )
    return asset_path(name)


def sha256_of(path: Path) -> str:
    """Return the file's sha256 in hexadecimal; an unchanged file is read once."""
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _verified:
        with path.open("rb") as file:
            _verified[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _verified[key]


def _check(path: Path, wanted: Asset) -> None:
    found = sha256_of(path)
    if found == wanted.sha256:
        return
    remedy = (
        f"restore models/{wanted.file_name}"
        if wanted.ships
        else f"delete it, then: python -m maskdet models fetch {wanted.name}"
    )
    raise RuntimeError(
        f"model {wanted.name} at {path} is damaged or another version: sha256 "
        f"{found[:12]}..., expected {wanted.sha256[:12]}...; {remedy}"
    )
