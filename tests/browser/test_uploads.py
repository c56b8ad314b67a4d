"""The message for a file that the server rejects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskdet.web.server.uploads import VISITOR_LIMIT_VARIABLE
from tests.helpers.servers import serve_dashboard


def test_a_rejected_file_is_reported_in_one_line(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(2_000_000))
    with serve_dashboard(tmp_path, **{VISITOR_LIMIT_VARIABLE: "1"}) as running:
        page = open_page(f"http://localhost:{running.port}/image")
        field = page.get_by_test_id("stMain").locator("input[type=file]")
        field.wait_for(state="attached")
        field.set_input_files(str(large))
        toast = page.get_by_test_id("stToast")
        toast.wait_for()
        assert "all your files together may have at most 1 MB" in toast.inner_text()
        assert page.get_by_test_id("stException").count() == 0
