"""Compare analyzers on the same scenes; results are stored in a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maskdet.metrics.intervals import Estimate, estimates_to_json
from maskdet.resources import resource_path
from maskdet.types import CLASSES

COMPARISON_FILE: Final = resource_path("models/analyzers.json")
"""The packaged comparison, which the dashboard shows."""

AP_NAMES: Final = ("faces", *(label.key for label in CLASSES), "mean")
"""Names of the average precisions: all faces, each class, their mean."""

RATE_NAMES: Final = ("recall", "precision", "three_states")
"""Names of the rates at the thresholds; see `AnalyzerMetrics`. They are stored keys."""

_COMPARISON_VERSION: Final = 1
_INTERVAL_KEYS: Final = ("value", "low", "high")


@dataclass(frozen=True, eq=False)
class AnalyzerMetrics:
    """Metrics of one analyzer on one data set.

    Attributes:
        analyzer: its name.
        set_name: the data set, as in `kaggle-val`.
        n_images: number of images.
        ap: average precision at IoU 0.5, by the names in `AP_NAMES`.
        ap_large: the same for faces of at least 20 px.
        rates: by the names in `RATE_NAMES`, with the default settings: recall of the
            large faces, precision, and (`three_states`) accuracy of the class of the
            detected large faces.
        median_ms: median time per image with these settings.
    """

    analyzer: str
    set_name: str
    n_images: int
    ap: Mapping[str, Estimate]
    ap_large: Mapping[str, Estimate]
    rates: Mapping[str, Estimate]
    median_ms: float

    def to_json(self) -> dict[str, object]:
        """Return all metrics with their intervals."""
        return {
            "analyzer": self.analyzer,
            "set": self.set_name,
            "images": self.n_images,
            "ap": estimates_to_json(self.ap),
            "ap_large": estimates_to_json(self.ap_large),
            **estimates_to_json(self.rates),
            "median_ms": round(self.median_ms, 2),
        }


def format_comparison(rows: Iterable[AnalyzerMetrics]) -> str:
    """Format the rows as JSON for `read_comparison`."""
    content = {"version": _COMPARISON_VERSION, "rows": [row.to_json() for row in rows]}
    return json.dumps(content, indent=2) + "\n"


def read_comparison(path: str | Path) -> tuple[AnalyzerMetrics, ...]:
    """Read a file written with `format_comparison`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is broken or has another version; the message names the row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: is not valid JSON") from None
    if not isinstance(content, dict) or content.get("version") != _COMPARISON_VERSION:
        raise ValueError(f"{path}: not a comparison of version {_COMPARISON_VERSION}")
    rows = content.get("rows")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: no rows")
    results = []
    for number, row in enumerate(rows, 1):
        try:
            results.append(_parse_metrics(row))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}: row {number} is incomplete or broken") from None
    return tuple(results)


def _parse_metrics(row: Any) -> AnalyzerMetrics:
    """Parse a row; raise `KeyError`, `TypeError` or `ValueError` if it is invalid."""
    return AnalyzerMetrics(
        analyzer=_get_text(row, "analyzer"),
        set_name=_get_text(row, "set"),
        n_images=int(_get_number(row, "images")),
        ap={name: _parse_interval(row["ap"], name) for name in AP_NAMES},
        ap_large={name: _parse_interval(row["ap_large"], name) for name in AP_NAMES},
        rates={name: _parse_interval(row, name) for name in RATE_NAMES},
        median_ms=_get_number(row, "median_ms"),
    )


def _parse_interval(table: Any, name: str) -> Estimate:
    value, low, high = (
        math.nan if table[name][end] is None else _get_number(table[name], end)
        for end in _INTERVAL_KEYS
    )
    return Estimate(value, low, high, int(_get_number(table[name], "n")))


def _get_text(table: Any, name: str) -> str:
    value = table[name]
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def _get_number(table: Any, name: str) -> float:
    value = table[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(name)
    return float(value)
