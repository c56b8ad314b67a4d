"""One network, one pass: it finds the faces and says who wears a mask."""

from __future__ import annotations

from maskdet.onepass.analyzer import OnePass, Scaling, SecondLook
from maskdet.onepass.network import Network

__all__ = ["Network", "OnePass", "Scaling", "SecondLook"]
