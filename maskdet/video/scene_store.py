"""`SceneStore`: the scenes of a video in a compact file, to show any moment of it."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import Final, Self

import numpy as np

from maskdet.types import Faces, PersonPair, Scene

_HEADER: Final = struct.Struct("<qq?d")
"""Number of people and of pairs, whether there are positions, and `min_confidence`."""

_PERSON: Final = np.dtype(
    [
        ("boxes", "<f4", 4),
        ("scores", "<f4"),
        ("probs", "<f4", 3),
        ("track_ids", "<i8"),
        ("unseen_s", "<f4"),
        ("n_effective_views", "<f4"),
        ("positions", "<f8", 2),
    ]
)
_PAIR: Final = np.dtype(
    [
        ("first", "<i4"),
        ("second", "<i4"),
        ("distance", "<f8"),
        ("unit", "S5"),
        ("in_contact", "?"),
        ("contact_s", "<f8"),
        ("exceeds_limit", "?"),
    ]
)

_HALF_MILLISECOND_S: Final = 0.0005


class SceneStore:
    """Scenes of one video in a file, which is opened again for each scene to find."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            OSError: the file cannot be created.
        """
        self._path = path
        self._file = path.open("wb")
        self._times_s, self._offsets = array("d"), array("q")

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file; scenes can be found from now on."""
        self._file.close()

    def add(self, scene: Scene) -> None:
        """Append the people of the next scene, and the pairs that are in contact.

        Raises:
            OSError: the file cannot be written, for example on a full disk.
        """
        people = np.zeros(len(scene), _PERSON)
        people["boxes"], people["scores"] = scene.boxes, scene.scores
        has_positions = len(scene.positions) > 0
        for name in ("probs", "track_ids", "unseen_s", "n_effective_views"):
            people[name] = getattr(scene, name)
        if has_positions:
            people["positions"] = scene.positions
        # A crowd of 30 people has 400 pairs, of which few are in contact.
        pairs = np.array([pair for pair in scene.pairs if pair.in_contact], _PAIR)
        self._times_s.append(scene.time_s)
        self._offsets.append(self._file.tell())
        header = (len(people), len(pairs), has_positions, scene.min_confidence)
        self._file.write(_HEADER.pack(*header) + people.tobytes() + pairs.tobytes())

    def find(self, time_s: float) -> Scene | None:
        """Return the scene that is shown at a time; None before the first one.

        Args:
            time_s: in seconds from the first frame.
        """
        number = bisect_right(self._times_s, time_s + _HALF_MILLISECOND_S) - 1
        if number < 0:
            return None
        with self._path.open("rb") as file:
            file.seek(self._offsets[number])
            header = _HEADER.unpack(file.read(_HEADER.size))
            n_people, n_pairs, has_positions, min_confidence = header
            people = np.frombuffer(file.read(n_people * _PERSON.itemsize), _PERSON)
            pairs = np.frombuffer(file.read(n_pairs * _PAIR.itemsize), _PAIR)
        return Scene(
            Faces(people["boxes"], people["scores"]),
            people["probs"],
            track_ids=people["track_ids"],
            time_s=self._times_s[number],
            min_confidence=min_confidence,
            unseen_s=people["unseen_s"],
            n_effective_views=people["n_effective_views"],
            pairs=tuple(
                PersonPair(first, second, distance, unit.decode(), *contact)
                for first, second, distance, unit, *contact in pairs.tolist()
            ),
            positions=people["positions"] if has_positions else np.zeros((0, 2)),
        )
