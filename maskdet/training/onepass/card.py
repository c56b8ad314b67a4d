"""The page that tells people what a one-pass network is, made of measured facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from maskdet.onepass.decode import OUTPUT_NAMES
from maskdet.training.onepass.litert import TIMED_WH, Converted
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

Finding has the layers of YuNet{start} (Wu, Peng and Yu, "YuNet: A Tiny \
Millisecond-level Face Detector", Machine Intelligence Research, 2023; \
<https://github.com/ShiqiYu/libfacedetection.train>, Apache-2.0). We changed them: all \
layers were trained on, the landmarks left out, and a branch that reads the mask added.

## How it was made

```
{train}
{export}
```

Seed {seed}. Trained on scenes of: {data}.{drawn}{teacher} {epoch} was kept, with \
averaged weights. Test pictures were not used in any choice.

The mask logits are divided by {temperature:.3f} inside the network, so that its \
probabilities fit the validation best; that changes no answer.

## Measured, with this file

On {scenes} validation scenes, which also chose epoch and version, by source and \
longer side in pixels (640: `onepass`, 320: `onepass-fast`). Average precision at IoU \
0.5 of all faces, of those of at least {large_px:.0f} px, and the mean over the \
classes; "right" is the share of the large faces found whose class is right.

{validation}
{alarms}
## Versions

Compared with the Keras network. Time: the shortest of 50 calls with 2 threads.

{versions}

{weights} ships: the smallest of those that lose nothing and are about as fast as the \
fastest.

## Limits

- Faces below 8 px are not seen, and of those below 20 px the mask often cannot be.
- There are few real faces with a mask incorrectly worn; trust `incorrect` least.
- Hands, scarves, cups and beards before the mouth can pass for a mask; `python -m \
maskdet suites` measures how often.
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
    data, start, teacher = (known.get(key) for key in ("data", "weights", "teacher"))
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
        start=f" and starts from its weights, `{start}`" if start else "",
        train="\n".join([*before, str(known.get("command", ""))]),
        export=command,
        seed=known.get("seed"),
        data=", ".join(map(str, data)) if isinstance(data, list) else "",
        drawn=_drawn(known),
        teacher=f" It also learnt the answers of the classifier `{teacher}`."
        if teacher
        else "",
        epoch="The last epoch"
        if exported.last
        else "The epoch with the best validation",
        temperature=exported.temperature,
        scenes=exported.validation,
        large_px=LARGE_PX,
        validation=_validation_table(chosen.precision),
        alarms=_alarms_text(exported.negatives, chosen.alarms),
        versions=_versions_table(exported.versions),
    )


def _drawn(known: Mapping[str, object]) -> str:
    drawn = known.get("drawn_scenes")
    return f" Our own code drew on {drawn:,} more." if drawn else ""


def _validation_table(results: Mapping[str, Precision]) -> str:
    classes = [label.key for label in CLASSES]
    heads = ["Scenes", "faces", "large", *classes, "mean", "right"]
    rows = [
        [name, *(_number(getattr(one, head)) for head in heads[1:])]
        for name, one in results.items()
    ]
    return _rows(heads, rows)


def _alarms_text(count: int, alarms: Mapping[str, Mapping[str, float]]) -> str:
    """Return the false alarms by threshold, or nothing if nobody counted them."""
    if not alarms:
        return ""
    thresholds = list(next(iter(alarms.values())))
    rows = [
        [f"{side} px", *(_number(found[one]) for one in thresholds)]
        for side, found in alarms.items()
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
