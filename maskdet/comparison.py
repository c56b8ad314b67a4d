"""What analyzers were measured to do on the same scenes, kept as a file of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maskdet.metrics.estimate import Estimate
from maskdet.resources import resource_path
from maskdet.types import CLASSES

COMPARISON_FILE: Final = resource_path("models/analyzers.json")
"""The comparison that ships, which the dashboard shows."""

PRECISIONS: Final = ("faces", *(label.key for label in CLASSES), "mean")
"""What average precision is told for: all faces, each class, their mean."""

SHARES: Final = ("recall", "precision", "three_states")
"""What is told of the faces that a user sees; see `Measured`."""

_VERSION: Final = 1
_ENDS: Final = ("value", "low", "high")


@dataclass(frozen=True, eq=False)
class Measured:
    """What one analyzer did on one set of scenes.

    Attributes:
        analyzer: its name.
        set_name: the set, as in `kaggle-val`.
        images: how many pictures the set has.
        ap: average precision at IoU 0.5, by the names in `PRECISIONS`.
        ap_large: the same for faces of at least 20 px.
        shares: by the names in `SHARES`: the large faces that are found, the boxes
            shown that are faces, and the large faces found whose class is right, all
            with the settings that a user starts with.
        median_ms: time a picture, with these settings.
    """

    analyzer: str
    set_name: str
    images: int
    ap: Mapping[str, Estimate]
    ap_large: Mapping[str, Estimate]
    shares: Mapping[str, Estimate]
    median_ms: float

    def to_json(self) -> dict[str, object]:
        """Return every number with its interval."""
        return {
            "analyzer": self.analyzer,
            "set": self.set_name,
            "images": self.images,
            "ap": {name: one.rounded() for name, one in self.ap.items()},
            "ap_large": {name: one.rounded() for name, one in self.ap_large.items()},
            **{name: one.rounded() for name, one in self.shares.items()},
            "median_ms": round(self.median_ms, 2),
        }


def comparison_json(rows: Iterable[Measured]) -> str:
    """Return the rows as the text that `read_comparison` reads."""
    content = {"version": _VERSION, "rows": [row.to_json() for row in rows]}
    return json.dumps(content, indent=2) + "\n"


def read_comparison(path: str | Path) -> tuple[Measured, ...]:
    """Return the rows of a file that `comparison_json` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken, or of another version; the message says where.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: is not valid JSON") from None
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError(f"{path}: is no comparison of version {_VERSION}")
    rows = content.get("rows")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: holds no rows")
    found = []
    for number, row in enumerate(rows, 1):
        try:
            found.append(_measured(row))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: row {number} is incomplete or broken") from None
    return tuple(found)


def _measured(row: Any) -> Measured:
    """Return one row; raises `KeyError`, `TypeError` or `ValueError` if it is none."""
    return Measured(
        analyzer=_text(row, "analyzer"),
        set_name=_text(row, "set"),
        images=int(_number(row, "images")),
        ap={name: _estimate(row["ap"], name) for name in PRECISIONS},
        ap_large={name: _estimate(row["ap_large"], name) for name in PRECISIONS},
        shares={name: _estimate(row, name) for name in SHARES},
        median_ms=_number(row, "median_ms"),
    )


def _estimate(table: Any, name: str) -> Estimate:
    value, low, high = (
        math.nan if table[name][end] is None else _number(table[name], end)
        for end in _ENDS
    )
    return Estimate(value, low, high, int(_number(table[name], "n")))


def _text(table: Any, name: str) -> str:
    value = table[name]
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def _number(table: Any, name: str) -> float:
    value = table[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(name)
    return float(value)
