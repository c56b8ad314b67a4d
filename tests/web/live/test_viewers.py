"""Viewer slots: the limit, and slots of disconnected sessions."""

from __future__ import annotations

import pytest

from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE, ViewerSlots, get_max_viewers


@pytest.mark.parametrize(
    ("n_cores", "expected"), [(1, 4), (2, 8), (3, 12), (4, 16), (64, 16)]
)
def test_the_default_limit_depends_on_the_cores(n_cores: int, expected: int) -> None:
    assert get_max_viewers({}, n_cores=n_cores) == expected
    assert get_max_viewers({MAX_VIEWERS_VARIABLE: "  "}, n_cores=n_cores) == expected


@pytest.mark.parametrize(("text", "expected"), [("1", 1), (" 12 ", 12), ("008", 8)])
def test_the_environment_sets_the_limit(text: str, expected: int) -> None:
    assert get_max_viewers({MAX_VIEWERS_VARIABLE: text}, n_cores=2) == expected


@pytest.mark.parametrize("text", ["0", "-1", "many", "2.5", "1e3", "²", "9" * 5000])
def test_an_invalid_limit_is_rejected_in_one_line(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"{MAX_VIEWERS_VARIABLE} must be a whole number from 1"
    ) as at:
        get_max_viewers({MAX_VIEWERS_VARIABLE: text})
    assert len(str(at.value)) < 150


def test_a_slot_becomes_free_when_a_session_leaves_or_disconnects() -> None:
    active = {"a", "b", "c", "d"}
    viewers = ViewerSlots(active.__contains__)
    assert viewers.acquire("a", 2)
    assert viewers.has_free_slot(2)
    assert viewers.acquire("b", 2)
    assert not viewers.has_free_slot(2)
    assert not viewers.acquire("c", 2)
    assert viewers.acquire("a", 2), "a session keeps its slot"
    assert viewers.count() == 2
    active.remove("a")
    assert viewers.count() == 1
    active.add("a")
    assert viewers.acquire("a", 2)
    viewers.release("c")
    assert not viewers.acquire("c", 2)
    viewers.release("a")
    assert viewers.acquire("c", 2)
    active.discard("b")
    assert viewers.has_free_slot(2)
    assert viewers.acquire("d", 2)
    assert not viewers.acquire("a", 2)
    assert viewers.acquire("a", 3), "the limit was raised"
