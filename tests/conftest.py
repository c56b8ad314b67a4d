"""What all tests share."""

from __future__ import annotations

# TensorFlow and this library of aiortc each carry OpenSSL's names; loaded after
# TensorFlow, this one crashes the process (seen with TensorFlow 2.21, pylibsrtp 1.0).
# The dashboard never loads TensorFlow; a test run does both.
import pylibsrtp  # noqa: F401
