"""Masks drawn on bare faces, for tests, samples and training."""

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
from maskdet.synthetic.wear import wear_mask

__all__ = [
    "KINDS",
    "PATTERNS",
    "POSITIONS",
    "Kind",
    "Mask",
    "Pattern",
    "Position",
    "wear_mask",
]
