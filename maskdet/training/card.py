"""The page that tells people what a model is, made of measured facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from maskdet.classifier import CONTEXT, OUTPUT_NAME
from maskdet.training.export import Converted, Exported
from maskdet.training.samples import MIN_TRAIN_PX, MIN_VAL_PX
from maskdet.training.sampling import CLASS_SHARES
from maskdet.training.validation import Rightness

CARD_NAME = "classifier.md"

_TEMPLATE = """\
# classifier.tflite

Tells for one face whether its mask is worn: `mask`, `no_mask` or `incorrect` (worn, \
but the nose, the mouth or the chin is free). Written by `python -m maskdet export`; \
do not edit by hand.

| | |
| --- | --- |
| Network | MobileNetV2 1.0 with a head of three outputs, every layer fine-tuned from \
ImageNet weights |
| Input | `image`: (n, {size_px}, {size_px}, 3) float32 RGB, 0 to 255; the scaling is \
inside |
| Crop | a square around the face box, {context} times its longer side, border \
repeated (`maskdet.classifier.crop_face`) |
| Output | `{output}`: (n, 3) probabilities in this order; the file carries it as the \
output's name |
| File | {n_bytes:,} bytes, {precision} weights, sha256 `{sha256}` |
| Licence | Apache-2.0, as the project |
| Made | {made} |

## How it was made

```
{command}
python -m maskdet export {run}
```

Seed {seed}, {epochs} epochs of {steps} batches of {batch_size} crops, AdamW at \
{learning_rate} with warm-up and cosine, label smoothing {smoothing}, averaged \
weights. Each batch is {shares}. The crops are moved, turned, mirrored, shrunk, \
blurred, darkened, tinted, compressed and cut as cameras and face finders do it \
(`maskdet/training/augment.py`).

Trained on: {data}. {crops:,} crops: every labelled face of at least {min_px} px; of a \
picture of one face the whole picture, and the box of a face finder where it is sure.
The epoch with the best validation ships. Test pictures were not used in any \
choice.{plans}

## Measured on validation, with this file

True boxes of at least {val_px} px; pictures of one face as a whole. A mask worn \
wrongly counts as worn, in truth and answer; a face is called bare if p(no_mask) is \
over one half. "Three classes" is the mean share right over the classes.

{validation}
{test}
## Versions

Compared with the Keras network on the {n} validation crops. Time: the shortest of 100 \
calls with 2 threads.

{versions}

{precision} ships.

## Limits

- Faces under {val_px} px are often too small to judge, and the sets to learn from \
have few bare faces in crowds: see the `bare` column.
- There are few real faces with a mask worn wrongly; trust `incorrect` least.
- Hands, scarves, cups and beards before the mouth can pass for a mask.
- The pictures are of the public sets named above, with their choice of people, \
places and light, and some wrong labels. It is no security or health device.
"""


def write_card(exported: Exported, run: Path) -> Path:
    """Write the card beside the file that ships, and return the card's path."""
    shipped = exported.versions[exported.precision]
    shares = [f"{share:.0%} {label.key}" for label, share in CLASS_SHARES.items()]
    known = {**exported.recipe}
    known["data"] = ", ".join(str(name) for name in exported.data)
    text = _TEMPLATE.format(
        **known,
        context=CONTEXT,
        output=OUTPUT_NAME,
        n_bytes=shipped.n_bytes,
        precision=exported.precision,
        sha256=shipped.sha256,
        made=date.today().isoformat(),
        run=run,
        shares=", ".join(shares),
        min_px=MIN_TRAIN_PX,
        val_px=MIN_VAL_PX,
        plans=_plans(exported.recipe.get("planned_before")),
        validation=_table(exported.validation),
        test=_test(exported.test),
        n=sum(result.n for result in exported.validation.values()),
        versions=_versions_table(exported.versions),
    )
    path = exported.shipped.with_name(CARD_NAME)
    path.write_text(text, encoding="utf-8")
    return path


def _plans(before: object) -> str:
    """Say that the run was resumed with another number of epochs, if it was."""
    if not isinstance(before, list):
        return ""
    plans = " and ".join(f"{epochs} epochs until {done}" for epochs, done in before)
    return (
        f"\nIt was resumed with another number of epochs (`--resume`): planned for "
        f"{plans} were done. The learning rate followed that plan until then."
    )


def _test(results: Mapping[str, Rightness]) -> str:
    if not results:
        return ""
    return (
        "\n## Measured on the test split, with this file\n\nWhole pictures that were "
        f"held back to the end.\n\n{_table(results)}\n"
    )


def _table(results: Mapping[str, Rightness]) -> str:
    rows = [
        "| Source | n | mask or not | worn | bare | three classes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for source, result in results.items():
        shares = (result.mask_or_not, result.worn, result.bare, result.balanced)
        cells = " | ".join(f"{share:.3f}" for share in shares)
        rows.append(f"| {source} | {result.n} | {cells} |")
    return "\n".join(rows)


def _versions_table(versions: Mapping[str, Converted]) -> str:
    rows = [
        "| Weights | bytes | largest difference | other class | 1 face | 4 faces |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, version in versions.items():
        rows.append(
            f"| {name} | {version.n_bytes:,} | {version.difference:.1g} | "
            f"{version.changed} | {version.one_ms:.1f} ms | {version.four_ms:.1f} ms |"
        )
    return "\n".join(rows)
