"""Values are checked against the declared types, in constructors and files alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np
import pytest
from annotated_types import Interval

from maskdet.validation import check_fields, parse_fields, parse_whole_number


@dataclass(frozen=True)
class Part:
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    ratio: Annotated[float, Interval(ge=0, le=1)] = 0.5
    count: Annotated[int, Interval(ge=1)] = 1
    mode: Literal["fast", "exact"] = "fast"
    is_on: bool = False
    speed: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Whole:
    name: str
    part: Part = field(default_factory=Part)
    names: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    limit: int | None = None


CASES = [
    ("ratio", 2, "ratio must be a number from 0 to 1, not 2"),
    ("ratio", True, "ratio must be a number from 0 to 1, not True"),
    ("ratio", "1", "ratio must be a number from 0 to 1, not '1'"),
    ("ratio", math.nan, "ratio must be a number from 0 to 1, not nan"),
    ("count", 0, "count must be a whole number of at least 1, not 0"),
    ("count", 1.0, "count must be a whole number of at least 1, not 1.0"),
    ("count", True, "count must be a whole number of at least 1, not True"),
    ("mode", "slow", "mode must be one of fast, exact, not 'slow'"),
    ("mode", ["fast"], "mode must be one of fast, exact, not ['fast']"),
    ("is_on", 1, "is_on must be true or false, not 1"),
    ("speed", math.inf, "speed must be a number, not inf"),
    ("speed", None, "speed must be a number, not None"),
]


@pytest.mark.parametrize(("name", "value", "line"), CASES)
def test_a_constructor_and_a_file_give_the_same_message(name, value, line) -> None:
    for build in (
        lambda: Part(**{name: value}),
        lambda: parse_fields(Part, {name: value}),
        lambda: parse_fields(Whole, {"name": "a", "part": {name: value}}),
    ):
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
            build()
        assert str(raised.value) == line


def test_numbers_become_floats_in_float_fields() -> None:
    for value in (1, np.float64(1)):
        ratio = Part(ratio=value).ratio
        assert ratio == 1
        assert type(ratio) is float


def test_nested_values_are_parsed_and_missing_ones_get_defaults() -> None:
    values = {"name": "a", "part": {"count": 3}, "names": ["b"], "weights": {"c": 1}}
    assert parse_fields(Whole, values) == Whole("a", Part(count=3), ("b",), {"c": 1.0})


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "name is missing"),
        ({"name": 3}, "name must be a text, not 3"),
        ({"name": "a", "limit": "3"}, "limit must be a whole number or null, not '3'"),
        ({"name": "a", "part": 3}, "part must be a JSON object, not 3"),
        ({"name": "a", "names": "b"}, "names must be a list of texts, not 'b'"),
        ({"name": "a", "names": ["b", 1]}, "names.1 must be a text, not 1"),
        ({"name": "a", "weights": {"b": "c"}}, "weights.b must be a number, not 'c'"),
        (
            {"name": "a", "part": {"size": 1}},
            "unknown setting 'size'; accepted are ratio, count, mode, is_on, speed",
        ),
    ],
)
def test_a_message_names_the_value_of_a_file(values, line) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        parse_fields(Whole, json.loads(json.dumps(values)))
    assert str(raised.value) == line


def test_text_that_is_not_unicode_is_rejected_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^Invalid JSON: [^\n]*$"):
        parse_fields(Whole, {"name": "\ud800"})


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "6", "1.5", "1e3", "²", "٣", "9" * 5000]
)
def test_a_text_must_be_a_whole_number(text) -> None:
    assert parse_whole_number("05", 1, 5) == 5
    with pytest.raises(
        ValueError, match=r"^N must be a whole number from 1 to 5, not"
    ) as at:
        parse_whole_number(text, 1, 5, name="N")
    assert len(str(at.value)) < 100
