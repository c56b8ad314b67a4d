"""Tiles that open something: an image with a title, facts and numbers of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import streamlit as st

from maskdet.web.components import load_component


@dataclass(frozen=True)
class Tile:
    """A tile; all texts are plain.

    Attributes:
        title: identifies the tile, and is shown below the image.
        image: URL of the image; without one the tile says so.
        facts: lines below the title.
        counts: `title`, `n`, `colour` and `ink` of the classes.
        phase: style of the first fact: that of a phase of a feed, or an empty string.
    """

    title: str
    image: str
    facts: Sequence[str] = ()
    counts: Sequence[Mapping[str, object]] = field(default_factory=tuple)
    phase: str = ""


def render_tiles(
    tiles: Sequence[Tile], *, label: str, key: str, on_open: Callable[[str], None]
) -> None:
    """Render tiles of equal width.

    Args:
        tiles: what to show.
        label: name of the list for screen readers.
        key: key of the component.
        on_open: called with the title of the tile that the visitor chose.
    """

    def open_tile() -> None:
        title = st.session_state[key].get("opened")
        if any(tile.title == title for tile in tiles):
            on_open(title)

    load_component("maskdet.web", "tiles")(
        data={"label": label, "items": [asdict(tile) for tile in tiles]},
        key=key,
        on_opened_change=open_tile,
    )
