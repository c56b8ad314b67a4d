"""Render masks and other objects on unmasked faces, for tests, samples and training."""

from __future__ import annotations

from maskdet.synthetic.covers import COVERS, Cover, render_cover
from maskdet.synthetic.lookalikes import LOOKALIKES, Lookalike, render_lookalike
from maskdet.synthetic.masks import (
    FABRIC_PATTERNS,
    MASK_KINDS,
    MASK_POSITIONS,
    FabricPattern,
    Mask,
    MaskKind,
    MaskPosition,
    render_mask,
)
from maskdet.synthetic.occluders import OCCLUDERS, Occluder, render_occluder

__all__ = [
    "COVERS",
    "FABRIC_PATTERNS",
    "LOOKALIKES",
    "MASK_KINDS",
    "MASK_POSITIONS",
    "OCCLUDERS",
    "Cover",
    "FabricPattern",
    "Lookalike",
    "Mask",
    "MaskKind",
    "MaskPosition",
    "Occluder",
    "render_cover",
    "render_lookalike",
    "render_mask",
    "render_occluder",
]
