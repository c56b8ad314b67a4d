"""The page that tells people what a model is, made of measured facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from maskdet.classifier import OUTPUT_NAME
from maskdet.metrics.answers import Answers
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.numbers import numbers
from maskdet.own_models import VERIFIER_OUTPUT
from maskdet.runs import SETS
from maskdet.training.logs import waited
from maskdet.training.recipes import RECIPES, Recipe, Stage
from maskdet.training.samples import MIN_TRAIN_PX, MIN_VAL_PX
from maskdet.training.sampling import CLASS_SHARES
from maskdet.training.validation import Rightness
from maskdet.types import CLASSES, Label

if TYPE_CHECKING:
    from maskdet.training.export import Exported

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
suites` measures how often.
- The pictures are of the sets named above, with their choice of people, places and \
light, and some wrong labels. It is no security or health device.
"""

_NETWORKS = {
    "pooled": "MobileNetV2 1.0, average",
    "dense": "MobileNetV2 1.0, average, 128 units",
    "custom-cnn": "two convolutions, 256 units",
}

_VIEWS = {
    "camera": "The crops are moved, turned, mirrored, shrunk, blurred, darkened, "
    "tinted, compressed and cut as cameras and face detectors do it; validation crops "
    "are not.",
    "tutorial": "The crops are turned up to 20 degrees, moved by up to a fifth, zoomed "
    "by up to 15 %, sheared and mirrored; validation crops are not.",
    "flip-turn": "The crops are mirrored and turned up to 72 degrees; validation crops "
    "are not.",
}

_OWN_KNOBS = ("size_px", "batch_size", "steps", "dropout", "views", "drawn")
"""What a run may do otherwise than its recipe, beside its epochs."""


def card_text(exported: Exported, answers: Mapping[str, Answers], command: str) -> str:
    """Return the card of a run, Markdown.

    Args:
        exported: the run, converted and compared.
        answers: name of a set to what the file answered on it.
        command: the export's own.
    """
    recipe, known = exported.recipe, exported.known
    return _TEMPLATE.format(
        title=recipe.title,
        about=recipe.about,
        source=f" Source: {recipe.source}." if recipe.source else "",
        network=f"{_NETWORKS[recipe.network]}, "
        f"{'four' if recipe.verifies else 'three'} outputs",
        parameters=exported.parameters,
        size_px=recipe.size_px,
        context=recipe.context,
        output=VERIFIER_OUTPUT if recipe.verifies else OUTPUT_NAME,
        columns=len(CLASSES) + recipe.verifies,
        file=_file(exported),
        made=date.today().isoformat(),
        train=known.get("command", ""),
        export=command,
        seed=recipe.seed,
        trained=_joined(_trained(recipe, known, exported.log)),
        data=_joined(_data(recipe, known, exported)),
        temperature=exported.temperature,
        answers=_answers_table(answers),
        val_px=MIN_VAL_PX,
        rare=rare_sentence(known.get("class_counts")),
        validation=_table(exported.chosen.rightness),
        test=_test(exported.test),
        n=exported.validation,
        versions=_versions_table(exported),
        choice=_choice(exported),
    )


def _file(exported: Exported) -> str:
    chosen = exported.chosen
    if not exported.ships:
        return (
            f"does not ship: {chosen.n_bytes:,} bytes with {exported.precision} weights"
        )
    return (
        f"`{exported.file_name}`: {chosen.n_bytes:,} bytes, {exported.precision} "
        f"weights, sha256 `{chosen.sha256}`"
    )


def _joined(sentences: Iterable[str]) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _trained(
    recipe: Recipe, known: Mapping[str, object], log: Sequence[Mapping[str, float]]
) -> Iterator[str]:
    """Yield how the network learnt, each sentence from what was done."""
    yield _start(recipe, known)
    for index, stage in enumerate(recipe.stages):
        yield _stage(stage, sum(row["stage"] == index + 1 for row in log))
    yield _ending(recipe, log)
    yield resumed_sentence(known.get("planned_before"))
    yield backends_sentence(known.get("backends"))
    yield _changes(recipe)
    yield _VIEWS[recipe.views]
    if recipe.views == "camera":
        yield _drawing_lots(recipe, known)
    else:
        yield _passes(recipe, known)
        yield _weighing(known)
    yield _kept(recipe, log)


def _start(recipe: Recipe, known: Mapping[str, object]) -> str:
    """Say which weights the body began with; older runs did not note them."""
    if recipe.network == "custom-cnn" or "start" not in known:
        return ""
    start = known["start"]
    if start is None:
        return "MobileNetV2 began with random weights."
    if start == "imagenet":
        return "MobileNetV2 began with the ImageNet weights of Keras."
    return f"MobileNetV2 began with the weights in `{start}`."


def _stage(stage: Stage, done: int) -> str:
    who = {None: "the head alone", 0: "all layers"}.get(
        stage.train_from, f"the head and the body from layer {stage.train_from} on"
    )
    rate = f"{stage.optimizer} at {stage.learning_rate:g}"
    if stage.warm_up is not None:
        rate += ", rising at first, falling on a cosine"
    if stage.decay:
        rate += f" / (1 + {stage.decay:g} step)"
    return f"{epochs_done(done, stage.epochs)} of {who}, {rate}."


def epochs_done(done: int, planned: int) -> str:
    """Return `9 epochs`, or `3 of 9 epochs` where not all were done."""
    if done >= planned:
        return f"{done} epoch{'' if done == 1 else 's'}"
    return f"{done} of {planned} epochs"


def _ending(recipe: Recipe, log: Sequence[Mapping[str, float]]) -> str:
    if len(log) >= recipe.epochs:
        return ""
    if recipe.patience is not None and waited(log) >= recipe.patience:
        return (
            f"It ended by itself: {waited(log)} epochs had not lowered the validation "
            "loss."
        )
    return stopped_sentence(len(log), recipe.epochs)


def stopped_sentence(done: int, planned: int) -> str:
    """Say that a run was stopped before its end."""
    return f"It was stopped after {done} of {planned} epochs."


def resumed_sentence(before: object) -> str:
    """Say that the run was resumed with another number of epochs, if it was."""
    if not isinstance(before, list):
        return ""
    plans = " and ".join(f"{epochs} epochs until {done}" for epochs, done in before)
    return (
        f"It was resumed with another number of epochs (`--resume`): planned for "
        f"{plans} were done. The learning rate followed that plan until then."
    )


def backends_sentence(backends: object) -> str:
    """Say what Keras trained with, if it was not TensorFlow alone."""
    if not isinstance(backends, list) or backends in ([], ["tensorflow"]):
        return ""
    titles = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
    named = " and then ".join(titles.get(str(one), str(one)) for one in backends)
    return f"Keras trained with {named}; another backend gives slightly other weights."


def _changes(recipe: Recipe) -> str:
    """Say what was done otherwise than the recipe says."""
    usual = RECIPES.get(recipe.name)
    if usual is None:
        return ""
    changes = [
        f"`{name}` {_value(getattr(recipe, name))} instead of "
        f"{_value(getattr(usual, name))}"
        for name in ("epochs", *_OWN_KNOBS)
        if getattr(recipe, name) != getattr(usual, name)
    ]
    return f"Otherwise than its recipe: {', '.join(changes)}." if changes else ""


def _value(knob: object) -> str:
    return "one pass over the crops" if knob is None else str(knob)


def _drawing_lots(recipe: Recipe, known: Mapping[str, object]) -> str:
    """Say how batches are made that take crops by chance."""
    counts = class_counts(known)
    parts = {
        label: share
        for label, share in CLASS_SHARES.items()
        if counts is None or counts[label]
    }
    total = sum(parts.values())
    shares = ", ".join(f"{part / total:.0%} {c.key}" for c, part in parts.items())
    steps = f"{recipe.steps} batches" if recipe.steps else "as many batches as fit"
    return (
        f"An epoch is {steps} of {recipe.batch_size} crops sampled at random: each "
        f"batch is {shares} on average."
    )


def _passes(recipe: Recipe, known: Mapping[str, object]) -> str:
    """Say how often an epoch shows a crop; see `views.Passes`."""
    crops = known.get("crops")
    if not isinstance(crops, int):
        return ""
    size = min(recipe.batch_size, crops)
    whole = max(1, crops // recipe.batch_size)
    steps = recipe.steps or whole
    says = f"An epoch is {steps} batch{'' if steps == 1 else 'es'} of {size} crops"
    if steps > whole:
        passes = f"{steps / whole:.1f}".removesuffix(".0")
        return f"{says}: {passes} passes over them."
    left = crops - steps * size
    if not left:
        return f"{says}: it shows each crop once."
    return (
        f"{says}: it shows none of the {crops:,} twice and leaves out {left:,}, others "
        "each time."
    )


def _weighing(known: Mapping[str, object]) -> str:
    weights, counts = known.get("class_weights"), class_counts(known)
    if not isinstance(weights, list):
        return ""
    named = ", ".join(
        f"{weights[label]:.2f} for {label.key}"
        for label in CLASSES
        if counts is None or counts[label]
    )
    return f"A crop counts in the loss by its class: {named}."


def _kept(recipe: Recipe, log: Sequence[Mapping[str, float]]) -> str:
    if recipe.keep == "last":
        return f"The last epoch was kept, number {len(log)}."
    if recipe.keep == "loss":
        best = len(log) - waited(log)
        return f"The epoch with the lowest validation loss was kept, number {best}."
    merits = [row["merit"] for row in log]
    best = merits.index(max(merits)) + 1
    return f"The epoch with the best validation was kept, number {best}."


def _data(
    recipe: Recipe, known: Mapping[str, object], exported: Exported
) -> Iterator[str]:
    """Yield what it learnt from and was chosen by."""
    names, crops = known.get("data"), known.get("crops", 0)
    of = ", ".join(map(str, names)) if isinstance(names, list) else "unknown"
    counts = class_counts(known)
    held = "" if counts is None else f" ({counts_text(counts)})"
    only = known.get("only_source")
    source = f", only images of the source `{only}`" if only else ""
    yield f"Trained on {crops:,} crops{held} of: {of}{source}."
    yield (
        f"A labelled face of at least {MIN_TRAIN_PX} px gives one crop; an image of "
        f"one face {_portrait(recipe, known)}."
    )
    if recipe.drawn:
        drawn = known.get("drawn_crops")
        many = f"up to {recipe.drawn:,}" if drawn is None else f"{drawn:,}"
        yield f"Our own code drew {many} of the crops."
    yield f"Validated on {exported.validation:,} crops{named(known.get('val'))}."
    yield notes_sentence(known.get("data_report"))
    if exported.test:
        yield "Test images were not used in any choice."
    else:
        yield "No test images were held back: the numbers on validation chose it."


def _portrait(recipe: Recipe, known: Mapping[str, object]) -> str:
    """Say which crops an image of one face gives; see `samples.pack_training`."""
    finder = known.get("finder")
    if recipe.views != "camera" or finder == "none":
        return "is one as a whole"
    named = f"`{finder}` " if finder else ""
    return f"gives two, the whole and the face that the detector {named}is sure of"


def named(names: object) -> str:
    """Return ` of: a, b` for the names of sets, or nothing."""
    listed = ", ".join(map(str, names)) if isinstance(names, list) else ""
    return f" of: {listed}" if listed else ""


def class_counts(known: Mapping[str, object]) -> list[int] | None:
    """Return the number of training faces by class; older runs did not note it."""
    counts = known.get("class_counts")
    return counts if isinstance(counts, list) and len(counts) == len(CLASSES) else None


def counts_text(counts: Sequence[int]) -> str:
    """Return `3 mask, 2 no_mask, 0 incorrect`."""
    return ", ".join(f"{counts[label]:,} {label.key}" for label in CLASSES)


def rare_sentence(counts: object) -> str:
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


def _answers_table(answers: Mapping[str, Answers]) -> str:
    rows = []
    for name, one in answers.items():
        measured = numbers(one.labelling)
        cells = (
            measured.wearing_accuracy,
            measured.wearing.recall,
            measured.bare.recall,
            measured.balanced,
        )
        shown = [_interval(cell) for cell in cells]
        rows.append([SETS.get(name, name), str(len(one)), *shown])
    if not rows:
        return "Nothing: no sets were given to the export."
    return _rows(["Set", "n", "mask or not", "worn", "bare", "three classes"], rows)


def _interval(estimate: Estimate) -> str:
    if estimate.n == 0:
        return "none"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _test(results: Mapping[str, Rightness]) -> str:
    if not results:
        return ""
    return (
        "\nOn the test part of its data, held back to the end, each face as it was "
        f"labelled:\n\n{_table(results)}\n"
    )


def _table(results: Mapping[str, Rightness]) -> str:
    rows = [
        [source, str(one.n)]
        + [f"{x:.3f}" for x in (one.mask_or_not, one.worn, one.bare, one.balanced)]
        for source, one in results.items()
    ]
    return _rows(["Source", "n", "mask or not", "worn", "bare", "three classes"], rows)


def _versions_table(exported: Exported) -> str:
    full = exported.versions["float32"]
    heads = ["Weights", "bytes", "largest difference", "other class", "1 face"]
    rows = [
        [
            name,
            f"{one.n_bytes:,}",
            f"{one.difference:.1g}",
            str(one.changed),
            f"{one.one_ms:.1f} ms",
            f"{one.four_ms:.1f} ms",
            ", ".join(one.loses_to(full)) or "nowhere",
        ]
        for name, one in exported.versions.items()
    ]
    return _rows([*heads, "4 faces", "less often right than float32"], rows)


def _choice(exported: Exported) -> str:
    verb = "ships" if exported.ships else "was measured; it is too large to ship"
    light = " of at most 5 MB" if exported.is_light else ""
    return (
        f"{exported.precision} {verb}: of the versions that are right as often as "
        f"float32, up to one face in a thousand, the fastest{light}."
    )


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
