"""The page that tells people what a model is, made of measured facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from maskdet.classifier import OUTPUT_NAME
from maskdet.evaluation.training_runs import EVALUATION_SETS
from maskdet.metrics.classification import Predictions
from maskdet.metrics.intervals import Estimate
from maskdet.metrics.summary import summarize_classification
from maskdet.own_models import VERIFIER_OUTPUT
from maskdet.training.classifier.batches import CLASS_FRACTIONS
from maskdet.training.classifier.crops import MIN_TRAIN_PX, MIN_VALIDATION_PX
from maskdet.training.classifier.recipes import RECIPES, ClassifierRecipe, Stage
from maskdet.training.classifier.validation import ClassifierMetrics
from maskdet.training.run_log import epochs_since_lowest_loss
from maskdet.types import CLASSES, Label

if TYPE_CHECKING:
    from maskdet.training.classifier.export import ClassifierExport

_TEMPLATE = """\
# {title}

{about}{source}

Tells for one face whether its mask is worn: `mask`, `no_mask` or `incorrect` (worn, \
but the nose, the mouth or the chin is free). Written by `maskdet export`; \
do not edit by hand.

| | |
| --- | --- |
| Network | {network}; {parameters:,} parameters |
| Input | `image`: (n, {size_px}, {size_px}, 3) float32 RGB, 0 to 255; the scaling is \
inside |
| Crop | a square around the face box, {context:g} times its longer side, border \
repeated (`maskdet.classifier.crop_face`) |
| Output | `{output}`: (n, {columns}) probabilities in this order; the file carries it \
as the output's name |
| File | {file} |
| Licence | Apache-2.0, as the project |
| Made | {made} |

## How it was made

```
{train}
{export}
```

Seed {seed}. {trained}

{data}

The logits are divided by {temperature:.3f} inside the network, so that its \
probabilities fit the validation best; that changes no answer.

## Measured, with this file

An incorrectly worn mask counts as worn in both. "Three classes" is the mean \
share right over the classes that occur. In brackets: 95 % of bootstrap draws.

{answers}

On validation, true boxes of at least {val_px} px, by which the file was chosen:

{validation}
{test}
## Versions

Compared with the Keras network on the {n} validation crops. Time: the shortest of 100 \
calls with 2 threads.

{versions}

{choice}

## Limits

- Faces under {val_px} px are often too small to judge.
- {rare}
- Hands, scarves, cups and beards before the mouth can pass for a mask; `maskdet \
robustness` measures how often.
- The images are of the sets named above, with their choice of people, places and \
light, and some wrong labels. It is no security or health device.
"""

_NETWORK_TEXTS = {
    "pooled": "MobileNetV2 1.0, average",
    "dense": "MobileNetV2 1.0, average, 128 units",
    "custom-cnn": "two convolutions, 256 units",
}

_AUGMENTATION_TEXTS = {
    "camera": "The crops are moved, turned, mirrored, shrunk, blurred, darkened, "
    "tinted, compressed and cut as cameras and face detectors do it; validation crops "
    "are not.",
    "tutorial": "The crops are turned up to 20 degrees, moved by up to a fifth, zoomed "
    "by up to 15 %, sheared and mirrored; validation crops are not.",
    "flip-turn": "The crops are mirrored and turned up to 72 degrees; validation crops "
    "are not.",
}

_CHANGEABLE_KNOBS = ("size_px", "batch_size", "steps", "dropout", "views", "drawn")
"""What a run may do otherwise than its recipe, beside its epochs."""


def format_classifier_card(
    model_export: ClassifierExport, predictions: Mapping[str, Predictions], command: str
) -> str:
    """Return the card of a run, Markdown.

    Args:
        model_export: the run, converted and compared.
        predictions: name of a set to what the file answered on it.
        command: the export's own.
    """
    recipe, metadata = model_export.recipe, model_export.metadata
    return _TEMPLATE.format(
        title=recipe.title,
        about=recipe.about,
        source=f" Source: {recipe.source}." if recipe.source else "",
        network=f"{_NETWORK_TEXTS[recipe.network]}, "
        f"{'four' if recipe.verifies else 'three'} outputs",
        parameters=model_export.n_parameters,
        size_px=recipe.size_px,
        context=recipe.context,
        output=VERIFIER_OUTPUT if recipe.verifies else OUTPUT_NAME,
        columns=len(CLASSES) + recipe.verifies,
        file=_format_file(model_export),
        made=date.today().isoformat(),
        train=metadata.get("command", ""),
        export=command,
        seed=recipe.seed,
        trained=_join_sentences(
            _training_sentences(recipe, metadata, model_export.log)
        ),
        data=_join_sentences(_data_sentences(recipe, metadata, model_export)),
        temperature=model_export.temperature,
        answers=_predictions_table(predictions),
        val_px=MIN_VALIDATION_PX,
        rare=rare_class_sentence(metadata.get("class_counts")),
        validation=_metrics_table(model_export.selected.metrics),
        test=_test_section(model_export.test_metrics),
        n=model_export.n_validation,
        versions=_versions_table(model_export),
        choice=_choice_sentence(model_export),
    )


def _format_file(model_export: ClassifierExport) -> str:
    selected = model_export.selected
    if not model_export.can_ship:
        return f"does not ship: {selected.n_bytes:,} bytes with {model_export.weight_format} weights"
    return (
        f"`{model_export.file_name}`: {selected.n_bytes:,} bytes, "
        f"{model_export.weight_format} "
        f"weights, sha256 `{selected.sha256}`"
    )


def _join_sentences(sentences: Iterable[str]) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _training_sentences(
    recipe: ClassifierRecipe,
    metadata: Mapping[str, object],
    log: Sequence[Mapping[str, float]],
) -> Iterator[str]:
    """Yield how the network learnt, each sentence from what was done."""
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
    """Say which weights the body began with; older runs did not note them."""
    if recipe.network == "custom-cnn" or "start" not in metadata:
        return ""
    start = metadata["start"]
    if start is None:
        return "MobileNetV2 began with random weights."
    if start == "imagenet":
        return "MobileNetV2 began with the ImageNet weights of Keras."
    return f"MobileNetV2 began with the weights in `{start}`."


def _stage_sentence(stage: Stage, n_done: int) -> str:
    trained_layers = {None: "the head alone", 0: "all layers"}.get(
        stage.train_from, f"the head and the body from layer {stage.train_from} on"
    )
    rate = f"{stage.optimizer} at {stage.learning_rate:g}"
    if stage.warm_up is not None:
        rate += ", rising at first, falling on a cosine"
    if stage.decay:
        rate += f" / (1 + {stage.decay:g} step)"
    return f"{format_epochs_done(n_done, stage.epochs)} of {trained_layers}, {rate}."


def format_epochs_done(n_done: int, planned: int) -> str:
    """Return `9 epochs`, or `3 of 9 epochs` where not all were done."""
    if n_done >= planned:
        return f"{n_done} epoch{'' if n_done == 1 else 's'}"
    return f"{n_done} of {planned} epochs"


def _ending_sentence(
    recipe: ClassifierRecipe, log: Sequence[Mapping[str, float]]
) -> str:
    if len(log) >= recipe.epochs:
        return ""
    if recipe.patience is not None and epochs_since_lowest_loss(log) >= recipe.patience:
        return (
            f"It ended by itself: {epochs_since_lowest_loss(log)} epochs had not "
            "lowered the validation "
            "loss."
        )
    return stopped_sentence(len(log), recipe.epochs)


def stopped_sentence(n_done: int, planned: int) -> str:
    """Say that a run was stopped before its end."""
    return f"It was stopped after {n_done} of {planned} epochs."


def resumed_sentence(earlier_plans: object) -> str:
    """Say that the run was resumed with another number of epochs, if it was."""
    if not isinstance(earlier_plans, list):
        return ""
    plans = " and ".join(
        f"{epochs} epochs until {done}" for epochs, done in earlier_plans
    )
    return (
        f"It was resumed with another number of epochs (`--resume`): planned for "
        f"{plans} were done. The learning rate followed that plan until then."
    )


def backends_sentence(backends: object) -> str:
    """Say what Keras trained with, if it was not TensorFlow alone."""
    if not isinstance(backends, list) or backends in ([], ["tensorflow"]):
        return ""
    titles = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
    names = " and then ".join(
        titles.get(str(backend), str(backend)) for backend in backends
    )
    return f"Keras trained with {names}; another backend gives slightly other weights."


def _changes_sentence(recipe: ClassifierRecipe) -> str:
    """Say what was done otherwise than the recipe says."""
    usual = RECIPES.get(recipe.name)
    if usual is None:
        return ""
    changes = [
        f"`{name}` {_format_knob(getattr(recipe, name))} instead of "
        f"{_format_knob(getattr(usual, name))}"
        for name in ("epochs", *_CHANGEABLE_KNOBS)
        if getattr(recipe, name) != getattr(usual, name)
    ]
    return f"Otherwise than its recipe: {', '.join(changes)}." if changes else ""


def _format_knob(knob: object) -> str:
    return "one pass over the crops" if knob is None else str(knob)


def _sampling_sentence(recipe: ClassifierRecipe, metadata: Mapping[str, object]) -> str:
    """Say how batches are made that take crops by chance."""
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
        f"An epoch is {steps} of {recipe.batch_size} crops sampled at random: each "
        f"batch is {text} on average."
    )


def _epoch_sentence(recipe: ClassifierRecipe, metadata: Mapping[str, object]) -> str:
    """Say how often an epoch shows a crop; see `views.Passes`."""
    crops = metadata.get("crops")
    if not isinstance(crops, int):
        return ""
    size = min(recipe.batch_size, crops)
    n_steps_per_pass = max(1, crops // recipe.batch_size)
    steps = recipe.steps or n_steps_per_pass
    sentence = f"An epoch is {steps} batch{'' if steps == 1 else 'es'} of {size} crops"
    if steps > n_steps_per_pass:
        passes = f"{steps / n_steps_per_pass:.1f}".removesuffix(".0")
        return f"{sentence}: {passes} passes over them."
    n_skipped = crops - steps * size
    if not n_skipped:
        return f"{sentence}: it shows each crop once."
    return (
        f"{sentence}: it shows none of the {crops:,} twice and leaves out "
        f"{n_skipped:,}, others "
        "each time."
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
    return f"A crop counts in the loss by its class: {weights_text}."


def _kept_sentence(recipe: ClassifierRecipe, log: Sequence[Mapping[str, float]]) -> str:
    if recipe.keep == "last":
        return f"The last epoch was kept, number {len(log)}."
    if recipe.keep == "loss":
        best = len(log) - epochs_since_lowest_loss(log)
        return f"The epoch with the lowest validation loss was kept, number {best}."
    scores = [row["merit"] for row in log]
    best = scores.index(max(scores)) + 1
    return f"The epoch with the best validation was kept, number {best}."


def _data_sentences(
    recipe: ClassifierRecipe,
    metadata: Mapping[str, object],
    model_export: ClassifierExport,
) -> Iterator[str]:
    """Yield what it learnt from and was chosen by."""
    names, crops = metadata.get("data"), metadata.get("crops", 0)
    sets_text = ", ".join(map(str, names)) if isinstance(names, list) else "unknown"
    counts = read_class_counts(metadata)
    counts_suffix = "" if counts is None else f" ({format_class_counts(counts)})"
    only_source = metadata.get("only_source")
    source = f", only images of the source `{only_source}`" if only_source else ""
    yield f"Trained on {crops:,} crops{counts_suffix} of: {sets_text}{source}."
    yield (
        f"A labelled face of at least {MIN_TRAIN_PX} px gives one crop; an image of "
        f"one face {_single_face_clause(recipe, metadata)}."
    )
    if recipe.drawn:
        drawn = metadata.get("drawn_crops")
        drawn_text = f"up to {recipe.drawn:,}" if drawn is None else f"{drawn:,}"
        yield f"Our own code drew {drawn_text} of the crops."
    yield f"Validated on {model_export.n_validation:,} crops{format_set_names(metadata.get('val'))}."
    yield notes_sentence(metadata.get("data_report"))
    if model_export.test_metrics:
        yield "Test images were not used in any choice."
    else:
        yield "No test images were held back: the numbers on validation chose it."


def _single_face_clause(
    recipe: ClassifierRecipe, metadata: Mapping[str, object]
) -> str:
    """Say which crops an image of one face gives; see `samples.pack_training`."""
    detector = metadata.get("detector", metadata.get("detector"))
    if recipe.views != "camera" or detector == "none":
        return "is one as a whole"
    detector_text = f"`{detector}` " if detector else ""
    return (
        f"gives two, the whole and the face that the detector {detector_text}is sure of"
    )


def format_set_names(names: object) -> str:
    """Return ` of: a, b` for the names of sets, or nothing."""
    joined_names = ", ".join(map(str, names)) if isinstance(names, list) else ""
    return f" of: {joined_names}" if joined_names else ""


def read_class_counts(metadata: Mapping[str, object]) -> list[int] | None:
    """Return the number of training faces by class; older runs did not note it."""
    counts = metadata.get("class_counts")
    return counts if isinstance(counts, list) and len(counts) == len(CLASSES) else None


def format_class_counts(counts: Sequence[int]) -> str:
    """Return `3 mask, 2 no_mask, 0 incorrect`."""
    return ", ".join(f"{counts[label]:,} {label.key}" for label in CLASSES)


def rare_class_sentence(counts: object) -> str:
    """Say how far to trust the class that is rarest in the world and in the data."""
    if isinstance(counts, list) and counts and not counts[Label.INCORRECT]:
        return "It has never seen a mask incorrectly worn; do not trust `incorrect`."
    return (
        "There are few real faces with a mask incorrectly worn; trust `incorrect` "
        "least."
    )


def notes_sentence(report: object) -> str:
    """Repeat what the check of the data noted."""
    notes = report.get("notes") if isinstance(report, dict) else None
    return f"Of the data: {'; '.join(map(str, notes))}." if notes else ""


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
        return "Nothing: no sets were given to the export."
    return _format_table(
        ["Set", "n", "mask or not", "worn", "bare", "three classes"], rows
    )


def _format_interval(estimate: Estimate) -> str:
    if estimate.n == 0:
        return "none"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _test_section(results: Mapping[str, ClassifierMetrics]) -> str:
    if not results:
        return ""
    return (
        "\nOn the test part of its data, held back to the end, each face as it was "
        f"labelled:\n\n{_metrics_table(results)}\n"
    )


def _metrics_table(results: Mapping[str, ClassifierMetrics]) -> str:
    rows = [
        [source, str(metrics.n)]
        + [
            f"{x:.3f}"
            for x in (metrics.mask_or_not, metrics.worn, metrics.bare, metrics.balanced)
        ]
        for source, metrics in results.items()
    ]
    return _format_table(
        ["Source", "n", "mask or not", "worn", "bare", "three classes"], rows
    )


def _versions_table(model_export: ClassifierExport) -> str:
    float32_version = model_export.versions["float32"]
    heads = ["Weights", "bytes", "largest difference", "other class", "1 face"]
    rows = [
        [
            name,
            f"{version.n_bytes:,}",
            f"{version.difference:.1g}",
            str(version.n_changed),
            f"{version.one_face_ms:.1f} ms",
            f"{version.four_faces_ms:.1f} ms",
            ", ".join(version.list_regressions(float32_version)) or "nowhere",
        ]
        for name, version in model_export.versions.items()
    ]
    return _format_table([*heads, "4 faces", "less often right than float32"], rows)


def _choice_sentence(model_export: ClassifierExport) -> str:
    verb = "ships" if model_export.can_ship else "was measured; it is too large to ship"
    light = " of at most 5 MB" if model_export.is_small else ""
    return (
        f"{model_export.weight_format} {verb}: of the versions that are right as often "
        "as "
        f"float32, up to one face in a thousand, the fastest{light}."
    )


def _format_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
