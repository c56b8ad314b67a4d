"""Start the dashboard with made-up runs: `python serve_models.py PORT RUNS_FOLDER`.

Two of them have weights: `maskdet`, which classifies faces by colour, and `twin`, which
predicts "Mask" for every face.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser import serve


class AllMaskedAnalyzer(serve.ColourAnalyzer):
    """Detects the same faces, and classifies each as masked."""

    def analyze(self, image, settings=None):
        from dataclasses import replace

        scene = super().analyze(image, settings)
        probs = np.tile(np.float32([0.96, 0.02, 0.02]), (len(scene), 1))
        return replace(scene, probs=probs)


def main() -> None:
    from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
    from maskdet.evaluation import comparison, training_runs
    from maskdet.web import session

    def load(name, classifier=DEFAULT_CLASSIFIER, *, refine=True):
        return AllMaskedAnalyzer() if classifier == "twin" else serve.ColourAnalyzer()

    training_runs.RUNS_FOLDER = Path(sys.argv[2])
    comparison.COMPARISON_FILE = training_runs.RUNS_FOLDER.parent / "analyzers.json"
    CLASSIFIERS["twin"] = CLASSIFIERS[DEFAULT_CLASSIFIER]
    session.load_analyzer = load
    serve.main()


if __name__ == "__main__":
    main()
