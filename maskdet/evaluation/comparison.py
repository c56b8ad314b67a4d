"""Compare analyzers on the same scenes; results are stored in a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from annotated_types import Interval

from maskdet.metrics.intervals import Estimate, estimates_to_json
from maskdet.resources import resource_path
from maskdet.types import CLASSES
from maskdet.validation import parse_fields, parse_json_object

COMPARISON_FILE: Final = resource_path("models/analyzers.json")
"""The packaged comparison, which the dashboard shows."""

AP_NAMES: Final = ("faces", *(label.key for label in CLASSES), "mean")
"""Names of the average precisions: all faces, each class, their mean."""

RATE_NAMES: Final = ("recall", "precision", "three_states")
"""Names of the rates at the thresholds; see `AnalyzerMetrics`. They are stored keys."""

_COMPARISON_VERSION: Final = 1


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
    median_ms: Annotated[float, Interval(ge=0)]

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
    content = parse_json_object(path.read_bytes(), f"{path}: is")
    if content.get("version") != _COMPARISON_VERSION:
        raise ValueError(f"{path}: not a comparison of version {_COMPARISON_VERSION}")
    rows = content.get("rows")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: no rows")
    results = []
    for number, row in enumerate(rows, 1):
        try:
            results.append(_parse_metrics(row))
        except (AttributeError, KeyError, TypeError):
            raise ValueError(f"{path}: row {number} is incomplete or broken") from None
        except ValueError as error:
            raise ValueError(f"{path}: row {number}: {error}") from None
    return tuple(results)


def _parse_metrics(row: Mapping[str, Any]) -> AnalyzerMetrics:
    values = {
        "analyzer": row["analyzer"],
        "set_name": row["set"],
        "n_images": row["images"],
        "ap": _parse_estimates(row["ap"], AP_NAMES),
        "ap_large": _parse_estimates(row["ap_large"], AP_NAMES),
        "rates": _parse_estimates(row, RATE_NAMES),
        "median_ms": row["median_ms"],
    }
    return parse_fields(AnalyzerMetrics, values)


def _parse_estimates(table: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the stored estimates, with NaN where `Estimate.to_json` writes null."""
    return {
        name: {
            key: math.nan if number is None else number
            for key, number in table[name].items()
        }
        for name in names
    }
