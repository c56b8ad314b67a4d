"""The page that tells people what a one-pass network is, made of measured facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from maskdet.onepass.decode import OUTPUT_NAMES
from maskdet.training.card import (
    backends_sentence,
    class_counts,
    counts_text,
    epochs_done,
    named,
    notes_sentence,
    rare_sentence,
    resumed_sentence,
    stopped_sentence,
)
from maskdet.training.onepass.litert import TIMED_WH, Converted
from maskdet.training.onepass.negatives import (
    FALSE_POSITIVE_COST,
    FALSE_POSITIVE_SCORES,
)
from maskdet.training.onepass.validation import LARGE_PX, Precision
from maskdet.types import CLASSES

if TYPE_CHECKING:
    from maskdet.training.onepass.export import Exported

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
logit, `dx, dy, log w, log h`, logits of {labels} (`maskdet.onepass.decode`) |
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
suites` measures how often.
- The pictures are of the sets named above, with their choice of people, places and \
light, and some wrong labels. It is no security or health device.
"""


def card_text(exported: Exported, command: str) -> str:
    """Return the card of a run, Markdown.

    Args:
        exported: the run, converted and compared.
        command: the export's own.
    """
    known, chosen = exported.known, exported.chosen
    commands = known.get("before")
    before = [str(one) for one in commands] if isinstance(commands, list) else []
    return _TEMPLATE.format(
        name=exported.name,
        about=exported.about,
        parameters=exported.parameters,
        outputs=", ".join(f"`{name}`" for name in OUTPUT_NAMES),
        labels=", ".join(label.key for label in CLASSES),
        n_bytes=chosen.n_bytes,
        weights=exported.weights,
        sha256=chosen.sha256,
        made=date.today().isoformat(),
        start=_start(known),
        train="\n".join([*before, str(known.get("command", ""))]),
        export=command,
        seed=known.get("seed"),
        trained=" ".join(_trained(exported)),
        val=named(known.get("val")),
        chose="the version" if exported.last else "epoch and version",
        rare=rare_sentence(known.get("class_counts")),
        temperature=exported.temperature,
        scenes=exported.validation,
        large_px=LARGE_PX,
        validation=_validation_table(chosen.precision),
        false_positives=_false_positives_text(
            exported.negatives, chosen.false_positives
        ),
        versions=_versions_table(exported.versions),
    )


def _start(known: Mapping[str, object]) -> str:
    start = known.get("weights")
    if not start:
        return ""
    whose = "" if str(start).endswith(".h5") else " of YuNet"
    return f" Training began with the weights{whose} in `{start}`."


def _trained(exported: Exported) -> Iterator[str]:
    """Yield how the network learnt, each sentence from what was done."""
    known, log = exported.known, exported.log
    planned, counts = known.get("epochs"), class_counts(known)
    if log and isinstance(planned, int):
        yield (
            f"{epochs_done(len(log), planned)} of {known.get('steps')} batches of up "
            f"to {known.get('batch_size')} views."
        )
        if len(log) < planned:
            yield stopped_sentence(len(log), planned)
    if known.get("planned_before"):
        yield resumed_sentence(known["planned_before"])
    if backends := backends_sentence(known.get("backends")):
        yield backends
    data = known.get("data")
    held = "" if counts is None else f" ({counts_text(counts)})"
    of = ", ".join(map(str, data)) if isinstance(data, list) else "unknown"
    yield f"Trained on scenes of: {of}{held}."
    if known.get("drawn_scenes"):
        yield f"Our own code drew on {known['drawn_scenes']:,} more."
    if known.get("negative_pictures"):
        yield (
            f"A share of {known.get('negatives')} of the views came from "
            f"{known['negative_pictures']:,} images without a face."
        )
    if known.get("teacher"):
        yield f"It also learnt the answers of the classifier `{known['teacher']}`."
    if notes_sentence(known.get("data_report")):
        yield notes_sentence(known.get("data_report"))
    yield f"{_kept(exported)}, with averaged weights."


def _score(row: Mapping[str, float]) -> float:
    """Return what an epoch was chosen by, as `fit` counts it."""
    false_positive_rates = row.get(
        f"val_false_positives_{FALSE_POSITIVE_SCORES[0]:g}", 0.0
    )
    return (
        row["val_faces"] + row["val_mean"]
    ) / 2 - FALSE_POSITIVE_COST * false_positive_rates


def _kept(exported: Exported) -> str:
    """Say which epoch the weights are of; see `fit`, which keeps the first best."""
    log = exported.log
    scores = [_score(row) for row in log]
    judged = [score for score in scores if not math.isnan(score)]
    if exported.last or (log and not judged):
        return "The last epoch was kept" + (f", number {len(log)}" if log else "")
    number = f", number {scores.index(max(judged)) + 1}" if judged else ""
    return f"The epoch with the best validation was kept{number}"


def _validation_table(results: Mapping[str, Precision]) -> str:
    classes = [label.key for label in CLASSES]
    heads = ["Scenes", "faces", "large", *classes, "mean", "right"]
    rows = [
        [name, *(_number(getattr(one, head)) for head in heads[1:])]
        for name, one in results.items()
    ]
    return _rows(heads, rows)


def _false_positives_text(count: int, rates: Mapping[str, Mapping[str, float]]) -> str:
    """Return the false positives by threshold, or nothing if nobody counted them."""
    if not rates:
        return ""
    thresholds = list(next(iter(rates.values())))
    rows = [
        [f"{side} px", *(_number(found[one]) for one in thresholds)]
        for side, found in rates.items()
    ]
    table = _rows(["Longer side", *(f"from {one}" for one in thresholds)], rows)
    return (
        f"\nOn {count} held-out pictures that show no face, which also chose the "
        "epoch: the share in which one is seen, by the least face score that counts.\n"
        f"\n{table}\n"
    )


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _versions_table(versions: Mapping[str, Converted]) -> str:
    full = versions["float32"]
    sizes = [f"{width}x{height}" for width, height in TIMED_WH]
    rows = [
        [
            name,
            f"{one.n_bytes:,}",
            f"{one.difference:.1g}",
            *(f"{time_ms:.1f} ms" for time_ms in one.times_ms),
            ", ".join(one.loses_to(full)) or "nowhere",
        ]
        for name, one in versions.items()
    ]
    heads = ["Weights", "bytes", "largest difference", *sizes]
    return _rows([*heads, "worse than float32"], rows)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
