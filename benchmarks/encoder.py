"""Time and quality of the encoder of live video beside that of aiortc, in one run.

Run `python benchmarks/encoder.py` from the root of the project. Both encode the sample
video at 640 x 480 pixels, 15 frames per second and the same bit rate, clean and with
noise as of a webcam in a dim room.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet import open_video
from maskdet.resources import resource_path
from maskdet.web.live.encoder import LiveEncoder

_SIZE_WH = (640, 480)
_N_FRAMES = 90
_N_SETTLING = 15
_TICKS = 90_000 // 15
_NOISE_SIGMAS = (0, 6)


def measure(encoder: Vp8Encoder, images: list[np.ndarray], sigma: float) -> str:
    """Return a line with CPU time, bit rate and PSNR to the images without noise."""
    generator = np.random.default_rng(1)
    decoder, psnrs = Vp8Decoder(), []
    n_bytes, cpu_s = 0, 0.0
    for number, image in enumerate(images):
        noise = generator.normal(0, sigma, image.shape) if sigma else 0
        noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
        planes = cv2.cvtColor(noisy, cv2.COLOR_BGR2YUV_I420)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = number * _TICKS, Fraction(1, 90_000)
        begin_s = time.thread_time()
        payloads, timestamp = encoder.encode(frame)
        cpu_s += time.thread_time() - begin_s
        content = b"".join(map(vp8_depayload, payloads))
        n_bytes += len(content)
        for decoded in decoder.decode(JitterFrame(content, timestamp)):
            shown = decoded.to_ndarray(format="bgr24").astype(np.float32)
            psnrs.append(cv2.PSNR(shown, image.astype(np.float32)))
    kbps = n_bytes * 8 * 15 / len(images) / 1000
    return (
        f"noise {sigma}: {1e3 * cpu_s / len(images):4.1f} ms/frame "
        f"{kbps:4.0f} kbit/s  PSNR {np.mean(psnrs[_N_SETTLING:]):.1f} dB"
    )


def main() -> None:
    """Print a line for each encoder and level of noise."""
    video = open_video(resource_path("samples/video.mp4"))
    images = [
        cv2.resize(image, _SIZE_WH)
        for (image, _), _ in zip(video, range(_N_FRAMES), strict=False)
    ]
    for sigma in _NOISE_SIGMAS:
        for encoder in (Vp8Encoder(), LiveEncoder()):
            line = measure(encoder, images, sigma)
            print(f"{type(encoder).__name__:12s} {line}", flush=True)


if __name__ == "__main__":
    main()
