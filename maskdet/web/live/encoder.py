"""VP8 encoder of live video, with faster options than those of aiortc."""

from __future__ import annotations

from typing import Any, Final

from aiortc.codecs.vpx import Vp8Encoder

_OPTIONS: Final = {"cpu-used": "-12", "noise-sensitivity": "0"}
"""Options of libvpx: less searching, and no filter against noise.

A frame of 640 x 480 pixels takes about 4 ms instead of 7, and the PSNR of the sample
video is higher by 0.8 dB at the same bit rate (`python benchmarks/encoder.py`)."""


class LiveEncoder(Vp8Encoder):
    """The encoder of aiortc 1.16 with other options."""

    _codec: Any = None

    @property
    def codec(self) -> Any:
        """Codec of the current size and bit rate; None before the first frame."""
        if self._codec is not None and not self._codec.is_open:
            # The base class sets its options before it opens the codec.
            self._codec.options = {**self._codec.options, **_OPTIONS}
        return self._codec

    @codec.setter
    def codec(self, codec: Any) -> None:
        self._codec = codec
