"""Masks and other things drawn on bare faces, for tests, samples and training."""

from __future__ import annotations

from maskdet.synthetic.fabric import (
    KINDS,
    PATTERNS,
    POSITIONS,
    Kind,
    Mask,
    Pattern,
    Position,
)
from maskdet.synthetic.lookalikes import LOOKALIKES, Lookalike, wear_lookalike
from maskdet.synthetic.things import THINGS, Thing, cover_mouth
from maskdet.synthetic.wear import wear_mask

__all__ = [
    "KINDS",
    "LOOKALIKES",
    "PATTERNS",
    "POSITIONS",
    "THINGS",
    "Kind",
    "Lookalike",
    "Mask",
    "Pattern",
    "Position",
    "Thing",
    "cover_mouth",
    "wear_lookalike",
    "wear_mask",
]
