"""Model card of an exported single-stage network (Markdown), generated from the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from maskdet.analyzers.onepass import MAX_STRIDE_PX, OUTPUT_NAMES, STRIDES_PX
from maskdet.analyzers.pipelines import RESIZES
from maskdet.evaluation import LARGE_PX
from maskdet.training.card import (
    backends_sentence,
    format_card,
    format_class_counts,
    format_epochs_done,
    format_set_names,
    format_table,
    join_sentences,
    join_set_names,
    notes_sentence,
    resumed_sentence,
    stopped_sentence,
    training_commands,
    versions_table,
)
from maskdet.training.export import TIMES_SENTENCE
from maskdet.training.onepass.batches import SampleConfig
from maskdet.training.onepass.recipe import TIMED_WH
from maskdet.training.onepass.validation import OnePassMetrics, compute_selection_score
from maskdet.types import CLASSES

if TYPE_CHECKING:
    from maskdet.training.onepass.export import OnePassExport

ABOUT = (
    "Single-stage network that detects the faces of an image and classifies their "
    "masks: detection with the layers of YuNet, classification with our own branch."
)

_PROPERTIES = """\
| Network | {parameters:,} parameters, convolutions only |
| Input | `image`: (1, h, w, 3) float32 BGR, 0 to 255; h and w are multiples of \
{multiple_px} |
| Output | {outputs}: (1, h/s, w/s, 9) at the strides {strides}: class and \
objectness logit, `dx, dy, log w, log h`, logits of {labels} \
(`maskdet.analyzers.onepass`) |
| File | `{name}.tflite`: {n_bytes:,} bytes, {weights} weights, sha256 `{sha256}` |"""

_CREDITS = """\
## Credits

The detection layers are those of YuNet (Wu, Peng and Yu, "YuNet: A Tiny \
Millisecond-level Face Detector", Machine Intelligence Research, 2023; \
<https://github.com/ShiqiYu/libfacedetection.train>, Apache-2.0). Changes: all layers \
were trained further, the landmark outputs were removed, and a mask classification \
branch was added.{start}

"""

_EVALUATION = """\
On {scenes} validation scenes{val}, which were also used to select {selected}, by \
source and longer side in pixels ({sides}). Average \
precision at IoU 0.5 of all faces, of faces of at least {large_px:.0f} px ("large"), \
of each class, and the mean over the classes; "accuracy" is the fraction of detected \
large faces with the correct class.

{validation}
{false_positives}"""


def format_onepass_card(model_export: OnePassExport, command: str) -> str:
    """Return the model card of a run as Markdown.

    Args:
        model_export: the exported run.
        command: the export command.
    """
    metadata, selected = model_export.metadata, model_export.selected
    versions = versions_table(
        model_export,
        [f"{width}x{height}" for width, height in TIMED_WH],
        lambda version: [f"{time_ms:.1f} ms" for time_ms in version.times_ms],
    )
    return format_card(
        model_export,
        title=model_export.name,
        about=ABOUT,
        classes="Classes: `mask`, `no_mask` and `incorrect`",
        properties=_PROPERTIES.format(
            name=model_export.name,
            parameters=model_export.n_parameters,
            outputs=", ".join(f"`{name}`" for name in OUTPUT_NAMES),
            multiple_px=MAX_STRIDE_PX,
            strides=", ".join(map(str, STRIDES_PX)),
            labels=", ".join(label.key for label in CLASSES),
            n_bytes=selected.n_bytes,
            weights=model_export.weight_format,
            sha256=selected.sha256,
        ),
        credits=_CREDITS.format(start=_start_clause(metadata)),
        commands="\n".join([*training_commands(metadata), command]),
        training=join_sentences(_training_sentences(model_export)),
        logits="mask logits",
        evaluation=_EVALUATION.format(
            scenes=model_export.n_validation,
            val=format_set_names(metadata.get("val")),
            selected="the version"
            if model_export.is_last_epoch
            else "epoch and version",
            sides=", ".join(
                f"{resize.long_side_px}: `{name}`" for name, resize in RESIZES.items()
            ),
            large_px=LARGE_PX,
            validation=_validation_table(selected.metrics),
            false_positives=_false_positives_section(
                model_export.n_negatives, selected.false_positive_rates
            ),
        ),
        versions=f"Compared with the Keras network. {TIMES_SENTENCE}\n\n{versions}",
        choice=f"{model_export.weight_format} was chosen: the smallest version without "
        "a loss of accuracy that is about as fast as the fastest.",
        small_faces="The network was not trained on faces smaller than "
        f"{SampleConfig.least_px:g} px in its input; below {LARGE_PX:g} px the class "
        "is often not visible.",
    )


def _start_clause(metadata: Mapping[str, object]) -> str:
    start = metadata.get("weights")
    if not start:
        return ""
    origin = " of YuNet" if str(start).endswith(".onnx") else ""
    return f" The network was initialized with the weights{origin} in `{start}`."


def _training_sentences(model_export: OnePassExport) -> Iterator[str]:
    """Yield sentences that describe the training."""
    metadata, log = model_export.metadata, model_export.log
    planned = metadata.get("epochs")
    if log and isinstance(planned, int):
        yield (
            f"{format_epochs_done(len(log), planned)} of {metadata.get('steps')} "
            f"batches of up to {metadata.get('batch_size')} samples."
        )
        if len(log) < planned:
            yield stopped_sentence(len(log), planned)
    yield resumed_sentence(metadata.get("planned_before"))
    yield backends_sentence(metadata.get("backends"))
    sets_text = join_set_names(metadata.get("data"))
    yield f"Trained on scenes from: {sets_text}{format_class_counts(metadata)}."
    if metadata.get("drawn_scenes"):
        yield f"{metadata['drawn_scenes']:,} more scenes are synthetic."
    if metadata.get("negative_images"):
        yield (
            f"A fraction of {metadata.get('negatives')} of the samples is from "
            f"{metadata['negative_images']:,} images without a face."
        )
    if metadata.get("teacher"):
        yield f"Distilled from the classifier `{metadata['teacher']}`."
    yield notes_sentence(metadata.get("data_report"))
    yield f"{_kept_sentence(model_export)} with averaged weights."


def _kept_sentence(model_export: OnePassExport) -> str:
    """Describe the selected epoch; `fit_onepass` keeps the first of equal scores."""
    log = model_export.log
    scores = [compute_selection_score(row) for row in log]
    finite_scores = [score for score in scores if not math.isnan(score)]
    if model_export.is_last_epoch or (log and not finite_scores):
        number = f", {len(log)}," if log else ""
        return f"The last epoch{number} was kept"
    number = f", {scores.index(max(finite_scores)) + 1}," if finite_scores else ""
    return f"The epoch with the best validation score{number} was kept"


def _validation_table(results: Mapping[str, OnePassMetrics]) -> str:
    names = ["faces", "large", *(label.key for label in CLASSES), "mean"]
    rows = [
        [
            source,
            *(_format_number(getattr(metrics, name)) for name in names),
            _format_number(metrics.right),
        ]
        for source, metrics in results.items()
    ]
    return format_table(["Scenes", *names, "accuracy"], rows)


def _false_positives_section(
    count: int, rates: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the false-positive rates by threshold, or "" if there are none."""
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
    table = format_table(
        ["Longer side", *(f"score >= {threshold}" for threshold in thresholds)], rows
    )
    return (
        f"\nFalse-positive rate on {count} held-out images without a face, which were "
        "also used to select the epoch: the fraction of images with a detection, by "
        f"detection threshold.\n\n{table}\n"
    )


def _format_number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"
