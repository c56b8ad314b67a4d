"""The page that tells people what a model is, made of measured facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from maskdet.classifier import OUTPUT_NAME
from maskdet.metrics.answers import Answers
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.numbers import numbers
from maskdet.runs import SETS
from maskdet.training.recipes import Recipe, Stage
from maskdet.training.samples import MIN_TRAIN_PX, MIN_VAL_PX
from maskdet.training.sampling import CLASS_SHARES
from maskdet.training.validation import Rightness

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
| Output | `{output}`: (n, 3) probabilities in this order; the file carries it as the \
output's name |
| File | {file} |
| Licence | Apache-2.0, as the project |
| Made | {made} |

## How it was made

```
{train}
{export}
```

Seed {seed}. {stages} {views} {balance} {kept}

Trained on {crops:,} crops of: {data}. Every labelled face of at least {min_px} px; a \
picture of one face counts as a whole.{plans} Test pictures were not used in any choice.

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
- There are few real faces with a mask incorrectly worn; trust `incorrect` least.
- Hands, scarves, cups and beards before the mouth can pass for a mask; `python -m \
maskdet suites` measures how often.
- The pictures are of the sets named above, with their choice of people, places and \
light, and some wrong labels. It is no security or health device.
"""

_NETWORKS = {
    "pooled": "MobileNetV2 1.0, average, three outputs",
    "dense": "MobileNetV2 1.0, average, 128 units, three outputs",
    "custom-cnn": "two convolutions, 256 units, three outputs",
}

_VIEWS = {
    "camera": "The crops are moved, turned, mirrored, shrunk, blurred, darkened, "
    "tinted, compressed and cut as cameras and face finders do it.",
    "tutorial": "The crops are turned up to 20 degrees, moved by up to a fifth, zoomed "
    "by up to 15 %, sheared and mirrored; validation and test are not.",
    "flip-turn": "The crops are mirrored and turned up to 72 degrees; validation and "
    "test are not.",
}

_KEPT = {
    "merit": "The epoch with the best validation was kept.",
    "loss": "The epoch with the lowest validation loss was kept.",
    "last": "The last epoch was kept.",
}


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
        network=_NETWORKS[recipe.network],
        parameters=exported.parameters,
        size_px=recipe.size_px,
        context=recipe.context,
        output=OUTPUT_NAME,
        file=_file(exported),
        made=date.today().isoformat(),
        train=known.get("command", ""),
        export=command,
        seed=recipe.seed,
        stages=" ".join(_stage(stage) for stage in recipe.stages),
        views=_VIEWS[recipe.views],
        balance=_balance(recipe, known.get("class_weights")),
        kept=_KEPT[recipe.keep],
        crops=known.get("crops", 0),
        data=_data(known.get("data")),
        min_px=MIN_TRAIN_PX,
        plans=_plans(known.get("planned_before")),
        temperature=exported.temperature,
        answers=_answers_table(answers),
        val_px=MIN_VAL_PX,
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


def _stage(stage: Stage) -> str:
    who = {None: "the head alone", 0: "all layers"}.get(
        stage.train_from, f"the head and the body from layer {stage.train_from} on"
    )
    rate = f"{stage.optimizer} at {stage.learning_rate:g}"
    if stage.warm_up is not None:
        rate += ", rising at first, falling on a cosine"
    if stage.decay:
        rate += f" / (1 + {stage.decay:g} step)"
    return f"At most {stage.epochs} epochs of {who}, {rate}."


def _data(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def _balance(recipe: Recipe, weights: object) -> str:
    if recipe.views == "camera":
        shares = [f"{share:.0%} {label.key}" for label, share in CLASS_SHARES.items()]
        drawn = (
            f" Our own code drew {recipe.drawn:,} more crops." if recipe.drawn else ""
        )
        return f"Each batch is {', '.join(shares)} on average.{drawn}"
    if not isinstance(weights, list):
        return ""
    named = ", ".join(f"{weight:.2f}" for weight in weights)
    return f"Each crop is seen once an epoch; its class counts {named} in the loss."


def _plans(before: object) -> str:
    """Say that the run was resumed with another number of epochs, if it was."""
    if not isinstance(before, list):
        return ""
    plans = " and ".join(f"{epochs} epochs until {done}" for epochs, done in before)
    return (
        f" It was resumed with another number of epochs (`--resume`): planned for "
        f"{plans} were done. The learning rate followed that plan until then."
    )


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
    return (
        f"{exported.precision} {verb}: of the versions that are right as often as "
        "float32, up to one face in a thousand, the fastest of at most 5 MB."
    )


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
