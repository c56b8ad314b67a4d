"""Start the dashboard with made-up stored predictions: `serve_tune.py PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser import serve
from tests.helpers.tune_predictions import make_page_predictions


def main() -> None:
    from maskdet.evaluation import predictions

    names = {"onepass on village": "onepass", "mtcnn on village": "mtcnn"}

    def load(name):
        return make_page_predictions(analyzer=names[name], seed=len(name))

    predictions.list_bundled = lambda: tuple(names)
    predictions.load_bundled_predictions = load
    sys.argv.append("--fake")
    serve.main()


if __name__ == "__main__":
    main()
