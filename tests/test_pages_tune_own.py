"""The Tune page with files that somebody sends, run without a browser."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from maskdet.tune import files
from maskdet.tune.files import to_bytes
from tests.tune_page_driving import choose, opened, run, texts, use_made_up
from tests.tune_page_fakes import scored


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_up(monkeypatch)


def sent(app: AppTest, name: str, content: bytes) -> AppTest:
    """Send a file as a set of one's own."""
    choose(app, "where", "My own set")
    uploader = next(one for one in app.main if one.type == "file_uploader")
    uploader.set_value((name, content, "application/octet-stream"))
    return run(app)


def test_scores_that_were_stored_are_tuned_on_again() -> None:
    app = sent(opened(), "mine.npz", to_bytes(scored()))
    assert "onepass on village: 60 pictures, 180 faces" in texts(app)
    assert app.main.button(key="tune.propose")


def test_a_small_file_that_would_take_all_memory_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "MAX_FACES_A_PICTURE", 3)
    app = sent(opened(), "mine.npz", to_bytes(scored()))
    (line,) = (one.value for one in app.main.error)
    assert "more than 3 found faces in one picture" in line


@pytest.mark.parametrize("content", [b"", b"no scores", to_bytes(scored())[:-99]])
def test_a_broken_file_of_scores_is_a_line(content: bytes) -> None:
    app = sent(opened(), "mine.npz", content)
    (line,) = (one.value for one in app.main.error)
    assert "is no file of stored scores" in line
