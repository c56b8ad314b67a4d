"""The page that tells people what a one-pass network is, made of measured facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from maskdet.analyzers.onepass import OUTPUT_NAMES
from maskdet.training.classifier.card import (
    backends_sentence,
    format_class_counts,
    format_epochs_done,
    format_set_names,
    notes_sentence,
    rare_class_sentence,
    read_class_counts,
    resumed_sentence,
    stopped_sentence,
)
from maskdet.training.onepass.data import FALSE_POSITIVE_COST, FALSE_POSITIVE_SCORES
from maskdet.training.onepass.recipe import TIMED_WH
from maskdet.training.onepass.validation import LARGE_PX, OnePassMetrics
from maskdet.types import CLASSES

if TYPE_CHECKING:
    from maskdet.training.onepass.export import ConvertedOnePass, OnePassExport

_TEMPLATE = """\
# {name}

{about}

Of each face: `mask`, `no_mask` or `incorrect` (worn, but the nose, the mouth or the \
chin is free). Written by `maskdet export`; do not edit by hand.

| | |
| --- | --- |
| Network | {parameters:,} parameters, convolutions only |
| Input | `image`: (1, h, w, 3) float32 BGR, 0 to 255; h and w are multiples of 32, of \
any number |
| Output | {outputs}: (1, h/s, w/s, 9) at the strides 8, 16 and 32: class and object \
logit, `dx, dy, log w, log h`, logits of {labels} (`maskdet.analyzers.onepass`) |
| File | `{name}.tflite`: {n_bytes:,} bytes, {weights} weights, sha256 `{sha256}` |
| Licence | Apache-2.0, as the project |
| Made | {made} |

## Credits

Finding has the layers of YuNet (Wu, Peng and Yu, "YuNet: A Tiny \
Millisecond-level Face Detector", Machine Intelligence Research, 2023; \
<https://github.com/ShiqiYu/libfacedetection.train>, Apache-2.0). We changed them: all \
layers were trained on, the landmarks left out, and a branch that reads the mask \
added.{start}

## How it was made

```
{train}
{export}
```

Seed {seed}. {trained}

The mask logits are divided by {temperature:.3f} inside the network, so that its \
probabilities fit the validation best; that changes no answer.

## Measured, with this file

On {scenes} validation scenes{val}, which also chose {chose}, by source and longer \
side in pixels (640: `onepass`, 320: `onepass-fast`). Average precision at IoU \
0.5 of all faces, of those of at least {large_px:.0f} px, and the mean over the \
classes; "right" is the share of the large faces found whose class is right.

{validation}
{false_positives}
## Versions

Compared with the Keras network. Time: the shortest of 50 calls with 2 threads.

{versions}

{weights} ships: the smallest of those that lose nothing and are about as fast as the \
fastest.

## Limits

- Faces below 8 px are not seen, and of those below 20 px the mask often cannot be.
- {rare}
- Hands, scarves, cups and beards before the mouth can pass for a mask; `maskdet \
robustness` measures how often.
- The images are of the sets named above, with their choice of people, places and \
light, and some wrong labels. It is no security or health device.
"""


def format_onepass_card(model_export: OnePassExport, command: str) -> str:
    """Return the card of a run, Markdown.

    Args:
        model_export: the run, converted and compared.
        command: the export's own.
    """
    metadata, selected = model_export.metadata, model_export.selected
    commands = metadata.get("before")
    earlier_commands = (
        [str(earlier_command) for earlier_command in commands]
        if isinstance(commands, list)
        else []
    )
    return _TEMPLATE.format(
        name=model_export.name,
        about=model_export.about,
        parameters=model_export.n_parameters,
        outputs=", ".join(f"`{name}`" for name in OUTPUT_NAMES),
        labels=", ".join(label.key for label in CLASSES),
        n_bytes=selected.n_bytes,
        weights=model_export.weight_format,
        sha256=selected.sha256,
        made=date.today().isoformat(),
        start=_start_clause(metadata),
        train="\n".join([*earlier_commands, str(metadata.get("command", ""))]),
        export=command,
        seed=metadata.get("seed"),
        trained=" ".join(_training_sentences(model_export)),
        val=format_set_names(metadata.get("val")),
        chose="the version" if model_export.is_last_epoch else "epoch and version",
        rare=rare_class_sentence(metadata.get("class_counts")),
        temperature=model_export.temperature,
        scenes=model_export.n_validation,
        large_px=LARGE_PX,
        validation=_validation_table(selected.metrics),
        false_positives=_false_positives_section(
            model_export.n_negatives, selected.false_positive_rates
        ),
        versions=_versions_table(model_export.versions),
    )


def _start_clause(metadata: Mapping[str, object]) -> str:
    start = metadata.get("weights")
    if not start:
        return ""
    origin = "" if str(start).endswith(".h5") else " of YuNet"
    return f" Training began with the weights{origin} in `{start}`."


def _training_sentences(model_export: OnePassExport) -> Iterator[str]:
    """Yield how the network learnt, each sentence from what was done."""
    metadata, log = model_export.metadata, model_export.log
    planned, counts = metadata.get("epochs"), read_class_counts(metadata)
    if log and isinstance(planned, int):
        yield (
            f"{format_epochs_done(len(log), planned)} of {metadata.get('steps')} "
            "batches of up "
            f"to {metadata.get('batch_size')} views."
        )
        if len(log) < planned:
            yield stopped_sentence(len(log), planned)
    if metadata.get("planned_before"):
        yield resumed_sentence(metadata["planned_before"])
    if backends := backends_sentence(metadata.get("backends")):
        yield backends
    data = metadata.get("data")
    counts_suffix = "" if counts is None else f" ({format_class_counts(counts)})"
    sets_text = ", ".join(map(str, data)) if isinstance(data, list) else "unknown"
    yield f"Trained on scenes of: {sets_text}{counts_suffix}."
    if metadata.get("drawn_scenes"):
        yield f"Our own code drew on {metadata['drawn_scenes']:,} more."
    if metadata.get("negative_images", metadata.get("negative_pictures")):
        yield (
            f"A share of {metadata.get('negatives')} of the views came from "
            f"{metadata['negative_images']:,} images without a face."
        )
    if metadata.get("teacher"):
        yield f"It also learnt the answers of the classifier `{metadata['teacher']}`."
    if notes_sentence(metadata.get("data_report")):
        yield notes_sentence(metadata.get("data_report"))
    yield f"{_kept_sentence(model_export)}, with averaged weights."


def _selection_score(row: Mapping[str, float]) -> float:
    """Return what an epoch was chosen by, as `fit` counts it."""
    false_positive_rates = row.get(
        f"val_false_positives_{FALSE_POSITIVE_SCORES[0]:g}", 0.0
    )
    return (
        row["val_faces"] + row["val_mean"]
    ) / 2 - FALSE_POSITIVE_COST * false_positive_rates


def _kept_sentence(model_export: OnePassExport) -> str:
    """Say which epoch the weights are of; see `fit`, which keeps the first best."""
    log = model_export.log
    scores = [_selection_score(row) for row in log]
    finite_scores = [score for score in scores if not math.isnan(score)]
    if model_export.is_last_epoch or (log and not finite_scores):
        return "The last epoch was kept" + (f", number {len(log)}" if log else "")
    number = f", number {scores.index(max(finite_scores)) + 1}" if finite_scores else ""
    return f"The epoch with the best validation was kept{number}"


def _validation_table(results: Mapping[str, OnePassMetrics]) -> str:
    classes = [label.key for label in CLASSES]
    heads = ["Scenes", "faces", "large", *classes, "mean", "right"]
    rows = [
        [name, *(_format_number(getattr(metrics, head)) for head in heads[1:])]
        for name, metrics in results.items()
    ]
    return _format_table(heads, rows)


def _false_positives_section(
    count: int, rates: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the false positives by threshold, or nothing if nobody counted them."""
    if not rates:
        return ""
    thresholds = list(next(iter(rates.values())))
    rows = [
        [
            f"{side} px",
            *(_format_number(side_rates[threshold]) for threshold in thresholds),
        ]
        for side, side_rates in rates.items()
    ]
    table = _format_table(
        ["Longer side", *(f"from {threshold}" for threshold in thresholds)], rows
    )
    return (
        f"\nOn {count} held-out images that show no face, which also chose the "
        "epoch: the share in which one is seen, by the least face score that counts.\n"
        f"\n{table}\n"
    )


def _format_number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _versions_table(versions: Mapping[str, ConvertedOnePass]) -> str:
    float32_version = versions["float32"]
    sizes = [f"{width}x{height}" for width, height in TIMED_WH]
    rows = [
        [
            name,
            f"{version.n_bytes:,}",
            f"{version.difference:.1g}",
            *(f"{time_ms:.1f} ms" for time_ms in version.times_ms),
            ", ".join(version.list_regressions(float32_version)) or "nowhere",
        ]
        for name, version in versions.items()
    ]
    heads = ["Weights", "bytes", "largest difference", *sizes]
    return _format_table([*heads, "worse than float32"], rows)


def _format_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
