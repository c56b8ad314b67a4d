"""Helpers that run the dashboard without a browser."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.helpers.waiting import WAIT_S

APP = Path(__file__).resolve().parents[2] / "app.py"


def run_app(app: AppTest) -> AppTest:
    """Run the page once more and let no exception pass."""
    app.run()
    assert not app.exception
    return app


def open_page(page: str, **query: str) -> AppTest:
    """Open a page, by the name of its file, with what its link says."""
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    for name, value in query.items():
        app.query_params[name] = value
    return run_app(app.switch_page(f"pages/{page}.py"))
