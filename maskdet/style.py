"""How a label looks: colours, line styles, words, and what a person may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from maskdet.types import UNTRACKED, Label, PersonPair

Palette: TypeAlias = Literal["classic", "colour-blind"]
PALETTES: Final[tuple[Palette, ...]] = get_args(Palette)

LineStyle: TypeAlias = Literal["solid", "double", "dashed", "dotted"]

BGR: TypeAlias = tuple[int, int, int]

BLACK: Final[BGR] = (0, 0, 0)
WHITE: Final[BGR] = (255, 255, 255)

_COLOURS: Final[dict[Palette, dict[Label, BGR]]] = {
    "classic": {
        Label.MASK: (0, 200, 0),
        Label.NO_MASK: (0, 0, 230),
        Label.INCORRECT: (0, 145, 255),
        Label.UNKNOWN: (165, 165, 165),
    },
    # Okabe & Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/:
    # blue, vermillion, yellow and the grey that is commonly added to them.
    "colour-blind": {
        Label.MASK: (178, 114, 0),
        Label.NO_MASK: (0, 94, 213),
        Label.INCORRECT: (66, 228, 240),
        Label.UNKNOWN: (165, 165, 165),
    },
}

_LINE_STYLES: Final[dict[Label, LineStyle]] = {
    Label.MASK: "solid",
    Label.NO_MASK: "double",
    Label.INCORRECT: "dashed",
    Label.UNKNOWN: "dotted",
}


@dataclass(frozen=True)
class Style:
    """What is drawn, and how; every field is a plain JSON value.

    Examples:
        >>> private = maskdet.Style(blur=True, percentages=False)
        >>> scene = maskdet.analyze("group.jpg")
        >>> maskdet.draw("group.jpg", scene, private).shape
        (480, 960, 3)

    Attributes:
        palette: `classic` (green, red, orange, grey) or `colour-blind`.
        boxes: whether each face gets its outline.
        labels: whether the label is written, as in "No mask".
        percentages: whether the confidence is written, as in "97 %".
        ids: whether the track ID is written, as in "#3".
        blur: whether all faces are blurred.
        scale: factor on the size of text and lines, which fits the image; 0.5 to 3.

    Raises:
        ValueError: a value is not allowed; the message names field and value.
    """

    palette: Palette = "classic"
    boxes: bool = True
    labels: bool = True
    percentages: bool = True
    ids: bool = True
    blur: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that cannot be drawn."""
        if self.palette not in PALETTES:
            raise ValueError(
                f"palette must be one of {', '.join(PALETTES)}, not {self.palette!r}"
            )
        for name in ("boxes", "labels", "percentages", "ids", "blur"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, not {value!r}")
        number = isinstance(self.scale, int | float) and not isinstance(
            self.scale, bool
        )
        if not number or not 0.5 <= self.scale <= 3:
            raise ValueError(
                f"scale must be a number from 0.5 to 3, not {self.scale!r}"
            )


DEFAULT_STYLE: Final = Style()


def colour_bgr(label: Label, palette: Palette = "classic") -> BGR:
    """Return the colour of a label, as for a legend."""
    return _COLOURS[palette][label]


def colour_css(label: Label, palette: Palette = "classic") -> str:
    """Return the colour of a label as a page's style sheet writes it, `#rrggbb`."""
    blue, green, red = colour_bgr(label, palette)
    return f"#{red:02x}{green:02x}{blue:02x}"


def ink_bgr(colour: BGR) -> BGR:
    """Return black or white, whichever reads better on `colour`."""
    on_white = contrast(colour, WHITE)
    return WHITE if on_white > contrast(colour, BLACK) else BLACK


def contrast(a: BGR, b: BGR) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG 2.2 defines it."""
    lighter, darker = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def line_style(label: Label) -> LineStyle:
    """Return how the outline of a label is drawn."""
    return _LINE_STYLES[label]


def describe(
    label: Label,
    confidence: float,
    style: Style = DEFAULT_STYLE,
    *,
    track_id: int = UNTRACKED,
    unseen_s: float = 0.0,
) -> str:
    """Return what is written beside a face.

    That is "No mask 97 %" in a picture, "#3 No mask 97 %" for somebody who is
    followed, and "#3 No mask, seen 2.1 s ago" while their face is not seen: what it
    said gets less certain then, which is no news about the mask.

    Args:
        label: what is known.
        confidence: how sure it is, in [0, 1].
        style: what to write.
        track_id: the person's number; `UNTRACKED` for none.
        unseen_s: seconds since their face was seen; 0 if it is.
    """
    words = [label.title] if style.labels else []
    if unseen_s <= 0:
        words += [f"{100 * confidence:.0f} %"] if style.percentages else []
    elif style.labels:
        words = [f"{label.title}, seen {unseen_s:.1f} s ago"]
    elif style.percentages:
        words = [f"{unseen_s:.1f} s ago"]
    number = [f"#{track_id}"] if style.ids and track_id != UNTRACKED else []
    return " ".join(number + words)


def describe_pair(pair: PersonPair) -> str:
    """Return what is written between two people: "1.2 m", "5 heads", "1.2 m, 40 s"."""
    if pair.unit == "m":
        apart = f"{pair.distance:.1f} m"
    else:
        heads = round(pair.distance)
        apart = "1 head" if heads == 1 else f"{heads} heads"
    if not pair.exceeds_limit:
        return apart
    lasted = (
        f"{pair.contact_s:.0f} s"
        if pair.contact_s < 120
        else f"{pair.contact_s / 60:.0f} min"
    )
    return f"{apart}, {lasted}"


def _luminance(colour: BGR) -> float:
    """Return the relative luminance in [0, 1] of an sRGB colour (WCAG 2.2)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in colour)
    ]
    return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
