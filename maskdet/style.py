"""Drawing style: colours, line styles and captions of the classes."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, get_args

from annotated_types import Interval

from maskdet.types import UNTRACKED, Label, PersonPair
from maskdet.validation import check_fields, parse_fields, parse_json_object

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
    # blue, vermillion and yellow, with a grey that is commonly added.
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


_MAX_NAME_LENGTH: Final = 24
"""Longer class names do not fit beside a face."""

_PUNCTUATION: Final = ".,:;!?'()/+%-"
"""Allowed punctuation: no characters with a meaning in HTML or Markdown."""

_DRAWABLE_PATTERN: Final = re.compile(
    "[ -~\u00a0-\u017e\u0386-\u03ce\u0400-\u045f\u0490\u0491\u1ea0-\u1ef9\u2019]*"
)
"""Latin, Greek and Cyrillic letters of the font that draws captions."""

_JOINERS: Final = "\u200c\u200d"
"""Invisible characters that some scripts and emoji need."""

_RESERVED_NAMES: Final = frozenset(
    {"faces", "image", "an image", "no face", "found", "missed", "false positives"}
    | {"precision", "recall", "f1", "mean of the classes"}
)
"""Other names in tables and charts, in lower case."""

_HEX_COLOUR_PATTERN: Final = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Style:
    """How a scene is drawn; every field is a plain JSON value.

    Examples:
        >>> private = maskdet.Style(blur=True, percentages=False)
        >>> scene = maskdet.analyze("group.jpg")
        >>> maskdet.draw("group.jpg", scene, private).shape
        (480, 960, 3)
        >>> names = {"no_mask": "Unmasked", "unknown": "Collecting info"}
        >>> maskdet.Style(class_names=names).title(maskdet.Label.NO_MASK)
        'Unmasked'

    Attributes:
        palette: `classic` (green, red, orange, grey) or `colour-blind`.
        boxes: whether faces are outlined.
        labels: whether the class is written, such as "No mask".
        percentages: whether the confidence is written, such as "97 %".
        ids: whether the track ID is written, such as "#3".
        blur: whether all faces are blurred.
        scale: factor on the automatic size of text and lines; 0.5 to 3.
        class_names: custom class names by key (`mask`, `no_mask`, `incorrect`,
            `unknown`): all different, up to 24 letters of any script, digits and some
            punctuation. Images can only show Latin, Greek and Cyrillic letters; other
            names are replaced by the defaults there, see `to_drawable`. Files always
            use the keys.
        class_colours: custom colours by the same keys, as "#rrggbb".

    Raises:
        ValueError: a value is not allowed; the message names field and value.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    palette: Palette = "classic"
    boxes: bool = True
    labels: bool = True
    percentages: bool = True
    ids: bool = True
    blur: bool = False
    scale: Annotated[float, Interval(ge=0.5, le=3)] = 1.0
    class_names: Mapping[str, str] = field(default_factory=dict, hash=False)
    class_colours: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)
        object.__setattr__(self, "class_names", _check_class_names(self.class_names))
        object.__setattr__(
            self, "class_colours", _check_class_colours(self.class_colours)
        )

    def title(self, label: Label) -> str:
        """Return the name of a class: the custom one, else `Label.title`."""
        return self.class_names.get(label.key, label.title)

    def to_drawable(self) -> Style:
        """Return the style without the names that cannot be drawn into images.

        Those are names with other than Latin, Greek and Cyrillic letters, which the
        font of captions does not have, nor may the machine that renders a chart as PNG.
        These classes get their default names.
        """
        names = {
            key: name for key, name in self.class_names.items() if is_drawable(name)
        }
        return dataclasses.replace(self, class_names=names)

    @property
    def substitution_note(self) -> str:
        """One line on the names that images replace; empty if there are none."""
        drawn = self.to_drawable()
        names = ", ".join(
            f"“{drawn.title(label)}” for “{self.title(label)}”"
            for label in Label
            if drawn.title(label) != self.title(label)
        )
        return names and (
            f"images can only show Latin, Greek and Cyrillic letters; they show {names}"
        )

    def colour_bgr(self, label: Label) -> BGR:
        """Return the colour of a class: the custom one, else that of the palette."""
        custom_colour = self.class_colours.get(label.key)
        if custom_colour is None:
            return colour_bgr(label, self.palette)
        red, green, blue = bytes.fromhex(custom_colour[1:])
        return blue, green, red

    def colour_css(self, label: Label) -> str:
        """Return the colour of a class as a CSS value, `#rrggbb`."""
        blue, green, red = self.colour_bgr(label)
        return f"#{red:02x}{green:02x}{blue:02x}"

    @classmethod
    def from_json(cls, text: str | bytes) -> Style:
        """Parse a style from a JSON object; missing fields get their defaults.

        Raises:
            ValueError: not a JSON object, an unknown field, or a bad value.
        """
        return parse_fields(cls, parse_json_object(text, "style is"))


def _check_class_keys(name: str, value: object) -> dict[str, Any]:
    """Check that a value is an object whose keys are classes."""
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{name} must be an object with classes as keys, not {value!r}"
        )
    keys = [label.key for label in Label]
    unknown = [key for key in value if key not in keys]
    if unknown:
        raise ValueError(
            f"{name}: {unknown[0]!r} is not a class; classes are {', '.join(keys)}"
        )
    return dict(value)


def _check_class_names(value: object) -> dict[str, str]:
    """Return the checked class names, without leading and trailing spaces."""
    names = _check_class_keys("class_names", value)
    for key, given in names.items():
        name = given.strip() if isinstance(given, str) else ""
        if len(name) > _MAX_NAME_LENGTH or not _is_readable(name):
            raise ValueError(
                f"class_names: {key} must be 1 to {_MAX_NAME_LENGTH} letters of any "
                f"script, digits, spaces and {_PUNCTUATION}, not {given!r}"
            )
        if _fold_name(name) in _RESERVED_NAMES:
            raise ValueError(
                f"class_names: {key} must not be {given!r}, which has another meaning "
                "in tables and charts; choose another name"
            )
        # One character for a letter and its accent, as fonts have it.
        names[key] = unicodedata.normalize("NFC", name)
    _check_unique_names(names, "")
    drawn = {key: name for key, name in names.items() if is_drawable(name)}
    _check_unique_names(drawn, " in images")
    return names


def _check_unique_names(names: Mapping[str, str], context: str) -> None:
    written = [names.get(label.key, label.title) for label in Label]
    folded = [_fold_name(name) for name in written]
    for name, folded_name in zip(written, folded, strict=True):
        if folded.count(folded_name) > 1:
            raise ValueError(
                f"class_names: {name!r} is the name of two classes{context}; names "
                "must differ"
            )


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _is_readable(name: str) -> bool:
    """Return whether all characters are allowed and one is a letter, digit or emoji."""
    allowed = (
        char.isalnum() or char in f" {_PUNCTUATION}"
        if char.isascii()
        else char.isprintable() or char in _JOINERS
        for char in name
    )
    return all(allowed) and any(
        char.isalnum() or unicodedata.category(char) == "So" for char in name
    )


def is_drawable(text: str) -> bool:
    """Return whether the font of captions has all characters of a text."""
    return bool(_DRAWABLE_PATTERN.fullmatch(unicodedata.normalize("NFC", text)))


def _check_class_colours(value: object) -> dict[str, str]:
    """Return the checked class colours, in lower case."""
    colours = _check_class_keys("class_colours", value)
    for key, given in colours.items():
        if not isinstance(given, str) or not _HEX_COLOUR_PATTERN.fullmatch(given):
            raise ValueError(
                f'class_colours: {key} must be a colour such as "#0072b2", not '
                f"{given!r}"
            )
        colours[key] = given.lower()
    return colours


DEFAULT_STYLE: Final = Style()


def colour_bgr(label: Label, palette: Palette = "classic") -> BGR:
    """Return the colour of a class in a palette."""
    return _COLOURS[palette][label]


def text_colour_bgr(colour: BGR) -> BGR:
    """Return black or white, whichever has more contrast to `colour`."""
    on_white = contrast_ratio(colour, WHITE)
    return WHITE if on_white > contrast_ratio(colour, BLACK) else BLACK


def contrast_ratio(a: BGR, b: BGR) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG 2.2 defines it."""
    lighter, darker = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def line_style(label: Label) -> LineStyle:
    """Return the line style of a class."""
    return _LINE_STYLES[label]


def format_face_caption(
    label: Label,
    confidence: float,
    style: Style = DEFAULT_STYLE,
    *,
    likeliest: Label | None = None,
    track_id: int = UNTRACKED,
    unseen_s: float = 0.0,
) -> str:
    """Return the caption of a face.

    Examples are "No mask 97 %" in an image, "#3 No mask 97 %" for a track, and "#3 No
    mask, seen 2.1 s ago" while the face is not detected: the confidence then only
    fades. A face of class `UNKNOWN` has "Unsure (58 % mask)".

    Args:
        label: the class.
        confidence: its confidence, in [0, 1].
        style: which parts to write.
        likeliest: the likeliest class, which is written if the label is `UNKNOWN`.
        track_id: the track ID; `UNTRACKED` for none.
        unseen_s: seconds since the face was last detected; 0 if it is now.
    """
    title = style.title(label)
    words = [title] if style.labels else []
    if unseen_s <= 0:
        words += _format_confidence(label, confidence, style, likeliest)
    elif style.labels:
        words = [f"{title}, seen {unseen_s:.1f} s ago"]
    elif style.percentages:
        words = [f"{unseen_s:.1f} s ago"]
    return " ".join(filter(None, [format_track_id(track_id, style), *words]))


def format_track_id(track_id: int, style: Style = DEFAULT_STYLE) -> str:
    """Return a track ID such as "#3"; empty without one, or if the style hides it."""
    return f"#{track_id}" if style.ids and track_id != UNTRACKED else ""


def _format_confidence(
    label: Label, confidence: float, style: Style, likeliest: Label | None
) -> list[str]:
    """Return the part of a caption with the confidence, as a list of 0 or 1 words."""
    if not style.percentages:
        return []
    if label is not Label.UNKNOWN or not style.labels:
        return [format_percent(confidence)]
    if likeliest is None:
        return []
    return [f"({format_percent(confidence)} {uncapitalize(style.title(likeliest))})"]


def uncapitalize(title: str) -> str:
    """Return a class name for use within a sentence, such as "no mask".

    Abbreviations such as "FFP2" do not change.
    """
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def format_percent(fraction: float) -> str:
    """Format a fraction as whole percent; only exactly 0 and 1 give "0 %" and "100 %".

    Examples:
        >>> from maskdet.style import format_percent
        >>> [format_percent(fraction) for fraction in (0, 0.003, 0.58, 0.999, 1)]
        ['0 %', '<1 %', '58 %', '>99 %', '100 %']
    """
    if fraction < 1 and round(100 * fraction) >= 100:
        return ">99 %"
    if fraction > 0 and round(100 * fraction) <= 0:
        return "<1 %"
    return f"{100 * fraction:.0f} %"


def to_display_percent(fraction: float) -> float:
    """Return a fraction as a percentage for a column that shows whole numbers.

    Only exactly 1 and 0 give 100 and 0; other values are at most 99 and at least 1.
    """
    percentage = 100 * fraction
    if fraction < 1 and round(percentage) >= 100:
        return 99.0
    if fraction > 0 and round(percentage) <= 0:
        return 1.0
    return percentage


def format_pair_caption(pair: PersonPair) -> str:
    """Return the caption of a pair: "1.2 m", "5 heads" or "1.2 m, 40 s"."""
    if pair.unit == "m":
        distance_text = f"{pair.distance:.1f} m"
    else:
        heads = round(pair.distance)
        distance_text = "1 head" if heads == 1 else f"{heads} heads"
    if not pair.exceeds_limit:
        return distance_text
    duration_text = (
        f"{pair.contact_s:.0f} s"
        if pair.contact_s < 120
        else f"{pair.contact_s / 60:.0f} min"
    )
    return f"{distance_text}, {duration_text}"


def _luminance(colour: BGR) -> float:
    """Return the relative luminance in [0, 1] of an sRGB colour (WCAG 2.2)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in colour)
    ]
    return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
