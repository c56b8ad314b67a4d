"""Upload limits, and when the memory of a file is freed.

`test_server.py` sends files to a running server.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.testing.v1 import AppTest

from maskdet.web.server import uploads
from maskdet.web.server.uploads import (
    TOTAL_LIMIT_VARIABLE,
    VISITOR_LIMIT_VARIABLE,
    IncomingUpload,
    UploadLimits,
)
from tests.helpers.app import open_page, run_app
from tests.helpers.waiting import WAIT_S

MB = 2**20


def test_default_limits_depend_on_the_largest_file() -> None:
    assert UploadLimits.from_environment({}, 400) == UploadLimits(500, 1000)
    assert UploadLimits.from_environment({}, 900) == UploadLimits(1000, 2000)
    given = {VISITOR_LIMIT_VARIABLE: " 50 ", TOTAL_LIMIT_VARIABLE: "70"}
    assert UploadLimits.from_environment(given, 400) == UploadLimits(50, 70)
    assert UploadLimits.from_environment(
        {VISITOR_LIMIT_VARIABLE: "50"}, 400
    ) == UploadLimits(50, 100)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "x", "²", "1 GB"])
def test_a_limit_must_be_a_whole_number(text, monkeypatch, caplog) -> None:
    line = rf"{TOTAL_LIMIT_VARIABLE} must be a whole number of at least 1, not '.*'"
    with pytest.raises(ValueError, match=line):
        UploadLimits.from_environment({TOTAL_LIMIT_VARIABLE: text}, 400)
    monkeypatch.setenv(TOTAL_LIMIT_VARIABLE, text)
    assert (
        uploads.get_upload_limits().total_mb > 100
    )  # an invalid value does not disable the limits
    assert TOTAL_LIMIT_VARIABLE in caplog.text


@pytest.fixture
def store(monkeypatch) -> MemoryUploadedFileManager:
    """The files of a server with limits of 8 MB per visitor and 12 MB in total."""
    manager = MemoryUploadedFileManager("/")
    server = SimpleNamespace(uploaded_file_mgr=manager)
    monkeypatch.setattr(runtime, "get_instance", lambda: server)
    monkeypatch.setenv(VISITOR_LIMIT_VARIABLE, "8")
    monkeypatch.setenv(TOTAL_LIMIT_VARIABLE, "12")
    uploads._incoming_bytes.clear()
    return manager


def record(file: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(file, "f", "image/png", bytes(size))


def test_stored_and_incoming_files_count_together(store) -> None:
    store.add_file("a", record("1", 5 * MB))
    with IncomingUpload("a") as one, IncomingUpload("a") as two:
        assert not one.rejection_reason(2 * MB)
        assert not one.add(2 * MB)
        assert "at most 8 MB" in two.rejection_reason(2 * MB)
        assert not two.rejection_reason(MB // 2)
    with IncomingUpload("a") as three:
        assert not three.rejection_reason(2 * MB)
    assert not uploads._incoming_bytes


def test_files_of_all_visitors_count_together(store) -> None:
    store.add_file("a", record("1", 7 * MB))
    with IncomingUpload("b") as one:
        assert not one.add(4 * MB)
        assert "memory of this server is full" in one.add(2 * MB)
    store.remove_session_files("a")
    with IncomingUpload("b") as again:
        assert not again.rejection_reason(7 * MB)


def test_empty_files_count_towards_the_limit(store) -> None:
    for number in range(8 * 1024):
        store.add_file("a", record(str(number), 0))
    with IncomingUpload("a") as one:
        assert "at most 8 MB" in one.rejection_reason(1)


def test_a_failed_request_is_not_counted(store) -> None:
    def fail() -> None:
        with IncomingUpload("a") as one:
            one.add(7 * MB)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    assert not uploads._incoming_bytes


PAGE = """
import streamlit as st
from maskdet.web.server import uploads

where = st.radio("Where", ["files", "nowhere"], key="where")
if where == "files":
    files = st.file_uploader("Files", accept_multiple_files=True, key="files")
    kept = uploads.reject_large_files(files, 1)
    st.write(" ".join(file.name for file in kept))
uploads.delete_unused_files()
"""


def test_a_file_above_the_widget_limit_is_reported_in_one_line() -> None:
    page = AppTest.from_string(PAGE, default_timeout=WAIT_S).run()
    page.file_uploader(key="files").set_value(
        [
            ("small.png", bytes(100), "image/png"),
            ("large<b>.png", bytes(MB + 200_000), "image/png"),
        ]
    ).run()
    (line,) = page.error
    assert "was rejected: it has 1.2 MB, the limit is 1 MB" in line.value
    assert "<b>" not in line.value
    assert [text.value for text in page.markdown] == ["small.png"]


def test_files_of_a_previous_page_are_freed(monkeypatch) -> None:
    freed: list[str] = []
    monkeypatch.setattr(
        MemoryUploadedFileManager,
        "remove_file",
        lambda self, session_id, file_id: freed.append(file_id),
    )
    page = AppTest.from_string(PAGE, default_timeout=WAIT_S).run()
    page.file_uploader(key="files").set_value([("a.png", b"1", "image/png")]).run()
    page.run()
    assert not freed
    page.radio(key="where").set_value("nowhere").run()
    page.run()
    assert len(freed) == 1


def test_a_large_settings_file_is_reported_in_one_line() -> None:
    app = open_page("about")
    large = ("s.json", b"[" * (2 * MB), "application/json")
    app.file_uploader(key="choice.file").set_value(large)
    warnings = [line.value for line in run_app(app).warning]
    assert any("the file is larger than 1 MB" in line for line in warnings)
