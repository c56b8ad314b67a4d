"""Start the dashboard for a test: `python serve.py PORT [--fake]`.

Adds what only tests need: media over 127.0.0.1, which aioice excludes, and with
`--fake` an analyzer that classifies by colour.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from streamlit.web import cli

ROOT = Path(__file__).resolve().parents[2]
FACE_BGR = (120, 160, 220)
MASK_BGR = (200, 120, 40)


class ColourAnalyzer:
    """Detects regions of `FACE_BGR` as faces; those with `MASK_BGR` are masked.

    An NMS IoU of 0, which no other test sets, makes it fail.
    """

    def analyze(self, image, settings=None):
        import cv2

        from maskdet.types import Faces, Scene

        if settings is not None and settings.nms_iou == 0:
            raise RuntimeError("the test asked for a failure")
        face, mask = (
            self._match_colour(image, colour) for colour in (FACE_BGR, MASK_BGR)
        )
        # Compressed video has seams between the two colours.
        face_mask = cv2.dilate((face | mask).astype(np.uint8), np.ones((9, 9)))
        n_components, components = cv2.connectedComponents(face_mask)
        boxes, probs = [], []
        for component in range(1, n_components):
            rows, columns = np.nonzero((components == component) & (face | mask))
            if len(rows) < 400:
                continue
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            masked = mask[components == component].sum() > 0.2 * len(rows)
            probs.append([0.96, 0.02, 0.02] if masked else [0.02, 0.96, 0.02])
        scene = Scene(
            Faces(np.array(boxes).reshape(-1, 4), np.full(len(boxes), 0.9)),
            np.array(probs).reshape(-1, 3),
            stage_ms={"detect": 1.0, "classify": 1.0},
        )
        return scene if settings is None else scene.filter(settings)

    @staticmethod
    def _match_colour(image, colour_bgr):
        return np.abs(image.astype(np.int16) - colour_bgr).max(axis=2) < 30


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from tests.helpers.servers import use_loopback_for_media

    use_loopback_for_media()
    if "--fake" in sys.argv:
        from maskdet.web import session

        session.load_analyzer = lambda *names, **options_: ColourAnalyzer()
    options = {
        "server.headless": "true",
        "server.address": "127.0.0.1",
        "server.port": sys.argv[1],
        "server.fileWatcherType": "none",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    sys.argv = ["streamlit", "run", str(ROOT / "app.py"), *flags]
    cli.main()


if __name__ == "__main__":
    main()
