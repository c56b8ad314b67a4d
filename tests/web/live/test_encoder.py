"""The encoder of live video has faster options, and its frames can be decoded."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import ClassVar

import av
import numpy as np
import pytest
from aiortc import codecs
from aiortc.codecs import vpx
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from maskdet.web.live.encoder import LiveEncoder
from maskdet.web.server import hooks, streamlit_patches


def make_frame(number: int, width: int = 64) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(
        np.full((48, width, 3), 40 * number, np.uint8), format="bgr24"
    )
    frame.pts, frame.time_base = 6000 * number, Fraction(1, 90_000)
    return frame


class RecordedCodec:
    """A codec whose options are recorded when it encodes, as FFmpeg takes them out."""

    opened_with: ClassVar[list[dict[str, str]]] = []

    def __init__(self, *arguments: str) -> None:
        vars(self)["codec"] = av.CodecContext.create(*arguments)

    def __getattr__(self, name: str) -> object:
        return getattr(self.codec, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.codec, name, value)

    def encode(self, frame: av.VideoFrame) -> list[av.Packet]:
        if not self.codec.is_open:
            self.opened_with.append(dict(self.codec.options))
        return self.codec.encode(frame)


@pytest.fixture
def opened_with(monkeypatch) -> list[dict[str, str]]:
    """Options of the codecs that were opened."""
    monkeypatch.setattr(RecordedCodec, "opened_with", [])
    library = SimpleNamespace(
        CodecContext=SimpleNamespace(create=RecordedCodec), video=av.video
    )
    monkeypatch.setattr(vpx, "av", library)
    return RecordedCodec.opened_with


def test_only_the_options_of_speed_differ_from_those_of_the_library(
    opened_with,
) -> None:
    for encoder in (Vp8Encoder(), LiveEncoder()):
        for number in (1, 2):
            encoder.encode(make_frame(number))
    theirs, ours = opened_with
    assert {
        name: (theirs[name], ours[name]) for name in ours if ours[name] != theirs[name]
    } == {
        "cpu-used": ("-6", "-12"),
        "noise-sensitivity": ("4", "0"),
    }
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize(
    ("change", "n_codecs"), [("none", 1), ("size", 2), ("bit rate", 2)]
)
def test_every_frame_is_decoded_with_its_brightness(
    change, n_codecs, opened_with
) -> None:
    encoder, decoder = LiveEncoder(), Vp8Decoder()
    for number in range(1, 6):
        width = 128 if change == "size" and number > 3 else 64
        if change == "bit rate" and number == 3:
            encoder.target_bitrate = 900_000
        payloads, timestamp = encoder.encode(make_frame(number, width))
        content = b"".join(map(vp8_depayload, payloads))
        (decoded,) = decoder.decode(JitterFrame(content, timestamp))
        assert decoded.width == width
        assert decoded.to_ndarray(format="gray").mean() == pytest.approx(
            40 * number, abs=6
        )
    assert [options["cpu-used"] for options in opened_with] == ["-12"] * n_codecs


def test_the_library_uses_it(monkeypatch) -> None:
    monkeypatch.setattr(hooks, "_applied", {})
    monkeypatch.setattr(codecs, "Vp8Encoder", codecs.Vp8Encoder)
    streamlit_patches.encode_video_with(LiveEncoder)
    parameters = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000)
    assert isinstance(codecs.get_encoder(parameters), LiveEncoder)
