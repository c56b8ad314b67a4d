"""One network, one pass: it finds the faces and says who wears a mask."""

from __future__ import annotations

from maskdet.onepass.analyzer import Refiner, Resize, SingleStage
from maskdet.onepass.network import SingleStageNetwork

__all__ = ["Refiner", "Resize", "SingleStage", "SingleStageNetwork"]
