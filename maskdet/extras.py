"""Libraries that only some parts of maskdet need, and the extra that installs each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, NamedTuple


class Library(NamedTuple):
    """One library.

    Attributes:
        title: what people call it.
        extra: the extra of maskdet that installs it.
    """

    title: str
    extra: str


LIBRARIES: Final[Mapping[str, Library]] = {
    "streamlit": Library("Streamlit", "app"),
    "streamlit_webrtc": Library("streamlit-webrtc", "app"),
    "tensorflow": Library("TensorFlow", "train"),
    "keras": Library("Keras", "train"),
    "onnx": Library("onnx", "train"),
    "tf2onnx": Library("tf2onnx", "train"),
    "onnxruntime": Library("ONNX Runtime", "onnx"),
    "mtcnn": Library("the package mtcnn", "mtcnn"),
    "joblib": Library("joblib", "mtcnn"),
    "lz4": Library("lz4", "mtcnn"),
    "sqlalchemy": Library("SQLAlchemy", "events"),
    "paho.mqtt.client": Library("paho-mqtt", "mqtt"),
    "psycopg": Library("psycopg", "postgresql"),
    "altair": Library("Altair", "report"),
    "vl_convert": Library("vl-convert", "report"),
}
"""By the name under which each is imported."""


class MissingExtraError(RuntimeError):
    """A library is not installed; the message is one line that names its extra."""


def is_installed(name: str) -> bool:
    """Return whether a library could be imported; it is not imported for it."""
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def describe_missing_library(feature: str, *names: str) -> str:
    """Return one line on the first library that is not installed, or an empty text.

    Args:
        feature: what needs them, as in `maskdet app`; it begins the line.
        names: keys of `LIBRARIES`.
    """
    for name in names:
        if not is_installed(name):
            title, extra = LIBRARIES[name]
            return f"{feature} needs {title}: pip install 'maskdet[{extra}]'"
    return ""


def require_libraries(feature: str, *names: str) -> None:
    """Make sure that libraries are installed, before work that needs them.

    Args:
        feature: what needs them, as in `maskdet app`.
        names: keys of `LIBRARIES`.

    Raises:
        MissingExtraError: one is not; the message says which extra brings it.
    """
    message = describe_missing_library(feature, *names)
    if message:
        raise MissingExtraError(message)
