"""Render masks and other objects on unmasked faces, for tests, samples and training."""

from __future__ import annotations

from maskdet.synthetic.clear_covers import (
    CLEAR_COVERS,
    ClearCover,
    render_clear_cover,
    render_printed_mouth,
)
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
    "CLEAR_COVERS",
    "FABRIC_PATTERNS",
    "LOOKALIKES",
    "MASK_KINDS",
    "MASK_POSITIONS",
    "OCCLUDERS",
    "ClearCover",
    "FabricPattern",
    "Lookalike",
    "Mask",
    "MaskKind",
    "MaskPosition",
    "Occluder",
    "render_clear_cover",
    "render_lookalike",
    "render_mask",
    "render_occluder",
    "render_printed_mouth",
]
