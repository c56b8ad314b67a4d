"""What all tests share."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

# TensorFlow and this library of aiortc each carry OpenSSL's names; loaded after
# TensorFlow, this one crashes the process (seen with TensorFlow 2.21, pylibsrtp 1.0).
# The dashboard never loads TensorFlow; a test run does both.
import pylibsrtp  # noqa: F401
import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

# Every page that a test opens asks anew which installed packages bring components, and
# reading what all packages say of themselves takes most of the time of such a test.
manifest_scanner.scan_component_manifests = cache(
    manifest_scanner.scan_component_manifests
)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument.

    A zip that is made while tests are collected holds the time of that, and tests must
    have the same names in every worker.
    """
    return argname if isinstance(val, bytes) else None


_n_frozen_modules = 0


@pytest.fixture(autouse=True, scope="module")
def _freeze_loaded_modules() -> None:
    """Let garbage collection pass over what libraries and pytest have loaded.

    Streamlit collects garbage after every run of a page, and that takes a second where
    TensorFlow is loaded.
    """
    global _n_frozen_modules
    if len(sys.modules) > 1.1 * _n_frozen_modules:
        gc.collect()
        gc.freeze()
        _n_frozen_modules = len(sys.modules)


@pytest.fixture
def eager_tensorflow() -> Iterator[None]:
    """Let TensorFlow compute at once.

    Of a training of a few steps, most of the time would go into building its graph.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def download_data(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each download button of the last run would give, by its title."""
    data_by_title: dict[str, Any] = {}
    original_button = st.download_button

    def record(title: str, data: Any, **options: Any) -> bool:
        data_by_title[title] = data
        return original_button(title, data, **options)

    monkeypatch.setattr(st, "download_button", record)
    return data_by_title
