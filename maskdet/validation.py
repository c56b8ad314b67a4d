"""Validation by declared types: the fields of dataclasses, and JSON from users."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Interval

_T = TypeVar("_T")

_MIN_SECRET_LENGTH = 16

_NOUNS: Mapping[object, str] = {int: "whole number", float: "number", str: "text"}


def check_fields(instance: object) -> None:
    """Check the fields of a dataclass that are flags, numbers, texts or choices.

    For `__post_init__`. An int in a float field becomes a float. Fields of other types
    are not checked.

    Raises:
        ValueError: a field does not accept its value; the message names both.
    """
    values, kind = vars(instance), cast(Any, type(instance))
    for name, base, declared, choices, low, high in _list_rules(kind):
        value = values[name]
        if type(value) is base:  # the usual case, first
            is_valid = True
        elif isinstance(value, int | float if base is float else base):
            is_valid = not isinstance(value, bool)  # which is an int for Python
        else:
            is_valid = False
        if is_valid and choices:
            is_valid = value in choices
        elif is_valid and low is not None:
            is_valid = low <= value <= high
        if not is_valid:
            raise ValueError(
                f"{name} must be {_describe_type(declared)}, not {value!r}"
            )
        if base is float and type(value) is not float:
            object.__setattr__(instance, name, float(value))


@functools.cache
def _list_rules(kind: type) -> list[tuple[str, Any, object, tuple[Any, ...], Any, Any]]:
    """Return name, class, declared type, choices and range of the checked fields."""
    rules: list[tuple[str, Any, object, tuple[Any, ...], Any, Any]] = []
    for name, declared in get_type_hints(kind, include_extras=True).items():
        base, interval = _split_annotated(declared)
        if get_origin(base) is Literal:
            rules.append((name, str, declared, get_args(base), None, None))
        elif base in (bool, str):
            rules.append((name, base, declared, (), None, None))
        elif base in (int, float):
            # Without a range, infinity and not-a-number are out of range all the same.
            low = -sys.float_info.max if interval.ge is None else interval.ge
            high = sys.float_info.max if interval.le is None else interval.le
            rules.append((name, base, declared, (), low, high))
    return rules


def parse_whole_number(
    text: str, low: int, high: int | None = None, *, name: str = ""
) -> int:
    """Parse a whole number from an option or an environment variable.

    Raises:
        ValueError: it is not a whole number in this range; the message begins with
            `name`.
    """
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    if not is_number or not low <= int(text) <= (sys.maxsize if high is None else high):
        words = f"a whole number{_describe_range(low, high)}"
        raise ValueError(f"{name} must be {words}, not {text[:40]!r}".lstrip())
    return int(text)


def check_secret(secret: str, subject: str) -> None:
    """Check a secret of the environment, which clients send in a header.

    Args:
        secret: the secret.
        subject: start of the error message; the secret is not part of it.

    Raises:
        ValueError: it is too short or not ASCII.
    """
    if len(secret) < _MIN_SECRET_LENGTH or not secret.isascii():
        raise ValueError(
            f"{subject} must have at least {_MIN_SECRET_LENGTH} ASCII characters; "
            "`openssl rand -hex 24` makes one"
        )


def parse_json_object(text: str | bytes, subject: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        text: JSON.
        subject: start of the error messages, for example `settings are`.

    Raises:
        ValueError: it is not valid JSON, or not an object.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{subject} not valid JSON") from None
    if not isinstance(values, dict):
        noun, _ = subject.rsplit(" ", 1)
        raise ValueError(f"{noun} must be a JSON object, not {type(values).__name__}")
    return values


def parse_fields(kind: type[_T], values: Mapping[str, object]) -> _T:
    """Return a dataclass from the values of a JSON object, including nested ones.

    Missing fields get their defaults.

    Raises:
        ValueError: an unknown field, or a value of another type or out of range; the
            message names it.
    """
    # Imported here to save 60 ms of `import maskdet`.
    from pydantic import ValidationError

    try:
        # From JSON, a list may be a tuple, but a text is never a number.
        adapter = _make_adapter(cast(Any, kind))
        return cast(_T, adapter.validate_json(json.dumps(values), strict=True))
    except ValidationError as error:
        raise ValueError(_format_error(kind, error.errors()[0])) from None


@functools.cache
def _make_adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _format_error(kind: Any, error: Mapping[str, Any]) -> str:
    """Return an error of pydantic as one line."""
    if error["type"] == "value_error":  # from a `__post_init__`
        return str(error["ctx"]["error"])
    if not error["loc"]:  # of the whole text, for example half of a surrogate pair
        return str(error["msg"])
    *parents, name = error["loc"]
    path: list[str] = []
    for parent in parents:
        kind = _get_part_type(kind, parent)
        # Named without its part, as in a link; the names are unique across parts.
        path = [] if dataclasses.is_dataclass(kind) else [*path, str(parent)]
    if error["type"] == "unexpected_keyword_argument":
        names = ", ".join(field.name for field in dataclasses.fields(kind))
        return f"unknown setting {name!r}; accepted are {names}"
    if error["type"] == "missing":
        return f"{'.'.join([*path, str(name)])} is missing"
    words = _describe_type(_get_part_type(kind, name))
    return f"{'.'.join([*path, str(name)])} must be {words}, not {error['input']!r}"


def _get_part_type(kind: Any, name: str | int) -> Any:
    """Return the type of a field, or of the items of a list or values of a mapping."""
    if dataclasses.is_dataclass(kind):
        return get_type_hints(kind, include_extras=True)[str(name)]
    return next(item for item in reversed(get_args(kind)) if item is not ...)


def _describe_type(declared: object, *, is_plural: bool = False) -> str:
    """Return what a type accepts, for example `a number from 0 to 1`."""
    base, interval = _split_annotated(declared)
    if get_origin(base) is Literal:
        return f"one of {', '.join(get_args(base))}"
    if base is bool:
        return "true or false"
    if get_origin(base) in (Union, UnionType):
        return " or ".join(map(_describe_type, get_args(base)))
    if get_origin(base) in (list, tuple):
        return f"a list of {_describe_type(get_args(base)[0], is_plural=True)}"
    if base is NoneType:
        return "null"
    noun = _NOUNS.get(base, "JSON object")
    words = f"{noun}s" if is_plural else f"a {noun}"
    return words + _describe_range(interval.ge, interval.le)


def _describe_range(low: object, high: object) -> str:
    if high is not None:
        return f" from {low} to {high}"
    return "" if low is None else f" of at least {low}"


def _split_annotated(declared: object) -> tuple[Any, Interval]:
    """Return a type without its metadata, and the range in them."""
    if get_origin(declared) is not Annotated:
        return declared, Interval()
    base, *metadata = get_args(declared)
    return base, next(
        (item for item in metadata if isinstance(item, Interval)), Interval()
    )
