"""Optional libraries and the extras that install them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, NamedTuple


class Library(NamedTuple):
    """An optional library.

    Attributes:
        title: display name.
        extra: the extra of maskdet that installs it.
    """

    title: str
    extra: str


LIBRARIES: Final[Mapping[str, Library]] = {
    "streamlit": Library("Streamlit", "app"),
    "streamlit_webrtc": Library("streamlit-webrtc", "app"),
    "tensorflow": Library("TensorFlow", "train"),
    "keras": Library("Keras", "train"),
    "onnx": Library("onnx", "mtcnn"),
    "tf2onnx": Library("tf2onnx", "train"),
    "onnxruntime": Library("ONNX Runtime", "onnx"),
    "mtcnn": Library("the package mtcnn", "mtcnn"),
    "joblib": Library("joblib", "mtcnn"),
    "lz4": Library("lz4", "mtcnn"),
    "sqlalchemy": Library("SQLAlchemy", "events"),
    "paho.mqtt.client": Library("paho-mqtt", "mqtt"),
    "psycopg": Library("psycopg", "postgresql"),
    "pyarrow": Library("PyArrow", "batch"),
    "ray": Library("Ray", "ray"),
    "vl_convert": Library("vl-convert", "report"),
    "authlib": Library("Authlib", "login"),
    "fastapi": Library("FastAPI", "serve"),
    "uvicorn": Library("uvicorn", "serve"),
    "prometheus_client": Library("the Prometheus client", "serve"),
}
"""Optional libraries by import name."""


class MissingExtraError(RuntimeError):
    """An optional library is not installed; the message names its extra."""


def is_installed(name: str) -> bool:
    """Return whether a library is installed, without importing it."""
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def describe_missing_library(feature: str, *names: str) -> str:
    """Return how to install the first missing library, or an empty string.

    Args:
        feature: what needs the libraries, such as `maskdet app`.
        names: keys of `LIBRARIES`.
    """
    for name in names:
        if not is_installed(name):
            title, extra = LIBRARIES[name]
            return f"{feature} needs {title}: pip install 'maskdet[{extra}]'"
    return ""


def require_libraries(feature: str, *names: str) -> None:
    """Raise an error if a library is not installed.

    Args:
        feature: what needs the libraries, such as `maskdet app`.
        names: keys of `LIBRARIES`.

    Raises:
        MissingExtraError: a library is missing; the message names its extra.
    """
    message = describe_missing_library(feature, *names)
    if message:
        raise MissingExtraError(message)
