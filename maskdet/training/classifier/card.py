"""Model card of an exported classifier (Markdown), generated from the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from maskdet.evaluation.training_runs import EVALUATION_SETS
from maskdet.metrics.classification import Predictions
from maskdet.metrics.intervals import Estimate
from maskdet.metrics.summary import summarize_classification
from maskdet.model_files.own_models import CLASSIFIER_OUTPUT, VERIFIER_OUTPUT
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
    read_class_counts,
    resumed_sentence,
    stopped_sentence,
    training_commands,
    versions_table,
)
from maskdet.training.classifier.batches import CLASS_FRACTIONS
from maskdet.training.classifier.crops import MIN_TRAIN_PX, MIN_VALIDATION_PX
from maskdet.training.classifier.recipes import RECIPES, ClassifierRecipe, Stage
from maskdet.training.classifier.validation import (
    MAX_ACCURACY_LOSS,
    MAX_BALANCED_LOSS,
    ClassifierMetrics,
)
from maskdet.training.export import SMALL_BYTES, TIMES_SENTENCE
from maskdet.training.run_log import epochs_since_lowest_loss
from maskdet.types import CLASSES

if TYPE_CHECKING:
    from maskdet.training.classifier.export import ClassifierExport

_PROPERTIES = """\
| Network | {network}; {parameters:,} parameters |
| Input | `image`: (n, {size_px}, {size_px}, 3) float32 RGB, 0 to 255; the network \
scales it |
| Crop | a square around the face box, {context:g} times its longer side, border \
repeated (`maskdet.classifier.crop_face`) |
| Output | `{output}`: (n, {columns}) probabilities in this order; this is also the \
name of the output in the file |
| File | {file} |"""

_EVALUATION = """\
"Mask or no mask" counts an incorrectly worn mask as a mask. "Balanced accuracy" is \
the mean recall of the classes that occur. Brackets show 95 % bootstrap confidence \
intervals.

{predictions}

Validation set, ground-truth boxes of at least {min_px} px, used to choose the file:

{validation}
{test}"""

_NETWORK_TEXTS = {
    "pooled": "MobileNetV2 1.0, average pooling",
    "dense": "MobileNetV2 1.0, average pooling, 128 units",
    "custom-cnn": "two convolutions, 256 units",
}

_AUGMENTATION_TEXTS = {
    "camera": "Training crops are shifted, rotated, flipped, downscaled, blurred, "
    "darkened, tinted, compressed and cropped, as by cameras and face detectors; "
    "validation crops are not.",
    "tutorial": "Training crops are rotated by up to 20 degrees, shifted by up to "
    "20 %, zoomed by up to 15 %, sheared and flipped; validation crops are not.",
    "flip-turn": "Training crops are flipped and rotated by up to 72 degrees; "
    "validation crops are not.",
}

_CHANGEABLE_KNOBS = ("size_px", "batch_size", "steps", "dropout", "views", "drawn")
"""Hyperparameters that a run may change, besides the epochs."""

_METRIC_HEADS = ["mask or no mask", "recall of masks", "recall of no mask"]


def format_classifier_card(
    model_export: ClassifierExport, predictions: Mapping[str, Predictions], command: str
) -> str:
    """Return the model card of a run as Markdown.

    Args:
        model_export: the exported run.
        predictions: predictions of the file by evaluation set.
        command: the export command.
    """
    recipe, metadata = model_export.recipe, model_export.metadata
    test = model_export.test_metrics
    training = _training_sentences(recipe, metadata, model_export.log)
    data = _data_sentences(recipe, metadata, model_export)
    versions = versions_table(
        model_export,
        ["changed class", "1 face", "4 faces"],
        lambda version: [
            str(version.n_changed),
            f"{version.one_face_ms:.1f} ms",
            f"{version.four_faces_ms:.1f} ms",
        ],
    )
    return format_card(
        model_export,
        title=recipe.title,
        about=recipe.about + (f" Source: {recipe.source}." if recipe.source else ""),
        classes="Classifies one face as `mask`, `no_mask` or `incorrect`",
        properties=_PROPERTIES.format(
            network=f"{_NETWORK_TEXTS[recipe.network]}, "
            f"{'four' if recipe.verifies else 'three'} outputs",
            parameters=model_export.n_parameters,
            size_px=recipe.size_px,
            context=recipe.context,
            output=VERIFIER_OUTPUT if recipe.verifies else CLASSIFIER_OUTPUT,
            columns=len(CLASSES) + recipe.verifies,
            file=_format_file(model_export),
        ),
        commands="\n".join([*training_commands(metadata), command]),
        training=f"{join_sentences(training)}\n\n{join_sentences(data)}",
        logits="logits",
        credits="",
        evaluation=_EVALUATION.format(
            predictions=_predictions_table(predictions),
            min_px=MIN_VALIDATION_PX,
            validation=_metrics_table(model_export.selected.metrics),
            test=f"\nTest split, ground-truth boxes:\n\n{_metrics_table(test)}\n"
            if test
            else "",
        ),
        versions="Compared with the Keras network on the "
        f"{model_export.n_validation} validation crops. {TIMES_SENTENCE}\n\n"
        f"{versions}",
        choice=_choice_sentence(model_export),
        small_faces=f"Faces smaller than {MIN_VALIDATION_PX} px are often too small to "
        "classify.",
    )


def _format_file(model_export: ClassifierExport) -> str:
    selected = model_export.selected
    if not model_export.can_ship:
        return (
            f"not shipped: {selected.n_bytes:,} bytes with "
            f"{model_export.weight_format} weights"
        )
    return (
        f"`{model_export.file_name}`: {selected.n_bytes:,} bytes, "
        f"{model_export.weight_format} "
        f"weights, sha256 `{selected.sha256}`"
    )


def _training_sentences(
    recipe: ClassifierRecipe,
    metadata: Mapping[str, object],
    log: Sequence[Mapping[str, float]],
) -> Iterator[str]:
    """Yield sentences that describe the training."""
    yield _start_sentence(recipe, metadata)
    for index, stage in enumerate(recipe.stages):
        yield _stage_sentence(stage, sum(row["stage"] == index + 1 for row in log))
    yield _ending_sentence(recipe, log)
    yield resumed_sentence(metadata.get("planned_before"))
    yield backends_sentence(metadata.get("backends"))
    yield _changes_sentence(recipe)
    yield _AUGMENTATION_TEXTS[recipe.views]
    if recipe.views == "camera":
        yield _sampling_sentence(recipe, metadata)
    else:
        yield _epoch_sentence(recipe, metadata)
        yield _class_weights_sentence(metadata)
    yield _kept_sentence(recipe, log)


def _start_sentence(recipe: ClassifierRecipe, metadata: Mapping[str, object]) -> str:
    """Return the initial weights of the body; older runs do not record them."""
    if recipe.network == "custom-cnn" or "start" not in metadata:
        return ""
    start = metadata["start"]
    if start is None:
        sentence = "MobileNetV2 was initialized with random weights."
    elif start == "imagenet":
        sentence = "MobileNetV2 was initialized with the ImageNet weights of Keras."
    else:
        sentence = f"MobileNetV2 was initialized with the weights in `{start}`."
    if metadata.get("before"):
        sentence += " The last run, described here, began with the weights before it."
    return sentence


def _stage_sentence(stage: Stage, n_done: int) -> str:
    trained_layers = {None: "the head only", 0: "all layers"}.get(
        stage.train_from, f"the head and the body from layer {stage.train_from}"
    )
    rate = f"{stage.optimizer} at {stage.learning_rate:g}"
    if stage.warm_up is not None:
        rate += ", with warm-up and cosine decay"
    if stage.decay:
        rate += f" / (1 + {stage.decay:g} step)"
    return f"{format_epochs_done(n_done, stage.epochs)} of {trained_layers}, {rate}."


def _ending_sentence(
    recipe: ClassifierRecipe, log: Sequence[Mapping[str, float]]
) -> str:
    if len(log) >= recipe.epochs:
        return ""
    if recipe.stops_early(log):
        return (
            "Training ended by early stopping: the validation loss had not decreased "
            f"for {epochs_since_lowest_loss(log)} epochs."
        )
    return stopped_sentence(len(log), recipe.epochs)


def _changes_sentence(recipe: ClassifierRecipe) -> str:
    """Return the hyperparameters that differ from the recipe."""
    usual = RECIPES.get(recipe.name)
    if usual is None:
        return ""
    changes = [
        f"`{name}` {_format_knob(getattr(recipe, name))} instead of "
        f"{_format_knob(getattr(usual, name))}"
        for name in ("epochs", *_CHANGEABLE_KNOBS)
        if getattr(recipe, name) != getattr(usual, name)
    ]
    return f"Changes to the recipe: {', '.join(changes)}." if changes else ""


def _format_knob(knob: object) -> str:
    return "one pass over the crops" if knob is None else str(knob)


def _sampling_sentence(recipe: ClassifierRecipe, metadata: Mapping[str, object]) -> str:
    """Describe randomly sampled batches."""
    counts = read_class_counts(metadata)
    fractions = {
        label: fraction
        for label, fraction in CLASS_FRACTIONS.items()
        if counts is None or counts[label]
    }
    total = sum(fractions.values())
    text = ", ".join(
        f"{fraction_of_class / total:.0%} {c.key}"
        for c, fraction_of_class in fractions.items()
    )
    steps = f"{recipe.steps} batches" if recipe.steps else "as many batches as fit"
    return (
        f"An epoch has {steps} of {recipe.batch_size} randomly sampled crops: on "
        f"average, {text}."
    )


def _epoch_sentence(recipe: ClassifierRecipe, metadata: Mapping[str, object]) -> str:
    """Describe how often an epoch uses a crop; see `EpochIterator`."""
    crops = metadata.get("crops")
    if not isinstance(crops, int):
        return ""
    size = min(recipe.batch_size, crops)
    n_steps_per_pass = max(1, crops // recipe.batch_size)
    steps = recipe.steps or n_steps_per_pass
    sentence = f"An epoch has {steps} batch{'' if steps == 1 else 'es'} of {size} crops"
    if steps > n_steps_per_pass:
        passes = f"{steps / n_steps_per_pass:.1f}".removesuffix(".0")
        return f"{sentence}: {passes} passes over them."
    n_skipped = crops - steps * size
    if not n_skipped:
        return f"{sentence} and uses each crop once."
    return (
        f"{sentence}: it uses each of the {crops:,} at most once and skips "
        f"{n_skipped:,} others each time."
    )


def _class_weights_sentence(metadata: Mapping[str, object]) -> str:
    weights, counts = metadata.get("class_weights"), read_class_counts(metadata)
    if not isinstance(weights, list):
        return ""
    weights_text = ", ".join(
        f"{weights[label]:.2f} for {label.key}"
        for label in CLASSES
        if counts is None or counts[label]
    )
    return f"Class weights in the loss: {weights_text}."


def _kept_sentence(recipe: ClassifierRecipe, log: Sequence[Mapping[str, float]]) -> str:
    if recipe.keep == "last":
        return f"The weights of the last epoch, {len(log)}, were kept."
    if recipe.keep == "loss":
        best = len(log) - epochs_since_lowest_loss(log)
        return f"The epoch with the lowest validation loss, {best}, was kept."
    scores = [row["merit"] for row in log]
    best = scores.index(max(scores)) + 1
    return f"The epoch with the best validation score, {best}, was kept."


def _data_sentences(
    recipe: ClassifierRecipe,
    metadata: Mapping[str, object],
    model_export: ClassifierExport,
) -> Iterator[str]:
    """Yield sentences that describe the training, validation and test data."""
    crops, sets_text = metadata.get("crops", 0), join_set_names(metadata.get("data"))
    counts = format_class_counts(metadata)
    only_source = metadata.get("only_source")
    source = f", only images of the source `{only_source}`" if only_source else ""
    yield f"Trained on {crops:,} crops{counts} from: {sets_text}{source}."
    yield (
        f"A labelled face of at least {MIN_TRAIN_PX} px gives one crop; an image of "
        f"one face gives {_single_face_clause(recipe, metadata)}."
    )
    if recipe.drawn:
        drawn = metadata.get("drawn_crops")
        drawn_text = f"up to {recipe.drawn:,}" if drawn is None else f"{drawn:,}"
        yield f"Of these, {drawn_text} are synthetic."
    val_names = format_set_names(metadata.get("val"))
    yield f"Validated on {model_export.n_validation:,} crops{val_names}."
    yield notes_sentence(metadata.get("data_report"))
    if model_export.test_metrics:
        yield "The test images were not used for model selection."
    else:
        yield "There were no test images: the validation set was used for selection."


def _single_face_clause(
    recipe: ClassifierRecipe, metadata: Mapping[str, object]
) -> str:
    """Describe the crops of an image of one face; see `pack_crops`."""
    detector = metadata.get("detector")
    if recipe.views != "camera" or detector == "none":
        return "one, the whole image"
    detector_text = f" `{detector}`" if detector else ""
    return (
        "two: the whole image, and the box of the detector"
        f"{detector_text} if its score is high"
    )


def _predictions_table(predictions: Mapping[str, Predictions]) -> str:
    rows = []
    for name, set_predictions in predictions.items():
        summary = summarize_classification(set_predictions.classification)
        cells = (
            summary.binary_accuracy,
            summary.masked.recall,
            summary.unmasked.recall,
            summary.balanced_accuracy,
        )
        shown = [_format_interval(cell) for cell in cells]
        rows.append(
            [EVALUATION_SETS.get(name, name), str(len(set_predictions)), *shown]
        )
    if not rows:
        return "No evaluation sets were given to the export."
    return format_table(["Set", "n", *_METRIC_HEADS, "balanced accuracy"], rows)


def _format_interval(estimate: Estimate) -> str:
    if estimate.n == 0:
        return "none"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _metrics_table(results: Mapping[str, ClassifierMetrics]) -> str:
    rows = [
        [source, str(metrics.n)]
        + [
            f"{x:.3f}"
            for x in (metrics.mask_or_not, metrics.worn, metrics.bare, metrics.balanced)
        ]
        for source, metrics in results.items()
    ]
    return format_table(["Source", "n", *_METRIC_HEADS, "balanced accuracy"], rows)


def _choice_sentence(model_export: ClassifierExport) -> str:
    suffix = "" if model_export.can_ship else " It is too large to ship."
    is_small = model_export.selected.n_bytes <= SMALL_BYTES
    small = f" of at most {SMALL_BYTES / 1e6:g} MB" if is_small else ""
    return (
        f"{model_export.weight_format} was chosen: the fastest version{small} that is "
        f"as accurate as float32, within {100 * MAX_ACCURACY_LOSS:g} points for mask "
        f"or no mask and {100 * MAX_BALANCED_LOSS:g} points of balanced "
        f"accuracy.{suffix}"
    )
