"""The About page: features, limitations, privacy, models and licences."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from maskdet import __version__
from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    get_analyzer_title,
    resolve_analyzer,
)
from maskdet.evaluation.training_runs import CARD_NAME, list_training_runs
from maskdet.model_files.model_zoo import MODEL_FILES
from maskdet.resources import resource_path
from maskdet.web import session
from maskdet.web.widgets import escape_markdown, legend_html

_CAPABILITIES = """
maskdet detects the faces in a camera stream, an image or a video and classifies each
one: with a mask, without a mask, or with an incorrectly worn mask.

**Features**

- Detects many faces in one image and shows a label and confidence for each.
- Shows “Unsure” when the confidence is below your threshold.
- Tracks people in a stream or video, also while they turn away for a moment, and
  combines several frames into one label per person.
- Estimates distances between people.
- Shows the effect of every threshold before you choose it.
- Exports results as images, videos, JSON and CSV.

**Limitations**

- It makes mistakes. Small, dark, blurred, turned or partly hidden faces are missed or
  mislabelled more often, and a scarf, a hand or a beard can be taken for a mask.
- It does not identify people and stores no faces.
- It does not re-identify people: returning people get a new ID.
- It cannot judge the quality of a mask, or whether it was worn earlier.
"""

_SECURITY = """
**maskdet is not a security device.** Do not let it decide who may enter, who is at
fault or who is safe. It is not a medical device either.
"""

_PRIVACY = """
- Images are analyzed in the memory of the computer that runs this page. They are not
  written to its disk and not sent anywhere else.
- Videos need a file during the analysis: in memory where there is room, else in a
  private temporary folder. It is deleted soon after. The Video page says which.
- Events are recorded only if you switch that on, and never with an image; every page
  shows a red REC badge then. Alerts go only to the receivers that you enter. These
  settings and your last alerts stay in memory until about an hour after you close the
  page.
- If the computer is not yours, your images are sent to it and no further.
- Uploaded images and their results stay in the memory of your own session, so that a
  moved slider takes effect at once. They are deleted soon after you close this page.
  Other visitors cannot see them. After live video stops, its last frame and a summary
  stay there until the next start.
- Streamlit's usage statistics are switched off.
"""

_SCORES = """
- **Confidence** is the classifier's estimate that its label is correct. It is not a
  guarantee: on faces unlike the training data it can be wrong at any confidence.
- **Detection score** is the face detector's confidence that a box contains a face. It
  does not depend on the mask, and its scale differs between detectors.
- The thresholds for both are in the sidebar of Live, Image and Video. A higher
  detection threshold shows fewer faces; a higher minimum confidence shows more of them
  as “Unsure”.
"""

_LIBRARIES = """
Built on [Streamlit](https://streamlit.io) (Apache-2.0),
[streamlit-webrtc](https://github.com/whitphx/streamlit-webrtc) (MIT),
[Source Sans](https://github.com/adobe-fonts/source-sans) (SIL Open Font License),
[OpenCV](https://opencv.org) (Apache-2.0; its Haar cascades: Intel licence),
[LiteRT](https://ai.google.dev/edge/litert), [TensorFlow](https://www.tensorflow.org)
and [Keras](https://keras.io) (Apache-2.0),
[ONNX Runtime](https://onnxruntime.ai) (MIT),
[mtcnn](https://github.com/ipazc/mtcnn) (MIT),
[YuNet](https://github.com/ShiqiYu/libfacedetection.train) (Apache-2.0; the
training of our single-stage network started from its weights),
[NumPy](https://numpy.org) (BSD-3-Clause),
[SQLAlchemy](https://www.sqlalchemy.org) (MIT),
[Pillow](https://python-pillow.org) (MIT-CMU) and
[PyAV](https://github.com/PyAV-Org/PyAV) (BSD-3-Clause). Thank you.
"""


def render_about_page() -> None:
    """Show the page."""
    st.title("About maskdet")
    st.caption(f"Version {__version__}, licence Apache-2.0")
    st.markdown(_CAPABILITIES)
    st.warning(_SECURITY, icon=":material/gpp_maybe:")
    st.header("Your images stay yours")
    st.markdown(_PRIVACY)
    st.header("How to read the results")
    st.html(legend_html(session.get_preferences().style))
    st.markdown(_SCORES)
    st.header("Models")
    _render_models()
    st.header("Licences and credits")
    _render_licences()


def _render_models() -> None:
    lines = [
        f"- **{escape_markdown(get_analyzer_title(name))}** (`{name}`): {line}"
        for name, line in ANALYZERS.items()
    ]
    fast, accurate = (
        get_analyzer_title(resolve_analyzer(AUTO, live=live)) for live in (True, False)
    )
    st.markdown(
        f"An analyzer detects and classifies faces. **Auto** uses {fast} for video and "
        f"{accurate} for images. The Models page compares all of them:\n\n"
        + "\n".join(lines)
    )
    # Wide tables and a checksum of 64 letters would make the page wider than a phone.
    st.html(
        "<style>.st-key-cards table {display: block; overflow-x: auto;}"
        ".st-key-cards td code {overflow-wrap: anywhere;}</style>"
    )
    with st.container(key="cards"):
        for path in _list_model_cards():
            title, text = _read_model_card(path)
            with st.expander(title, icon=":material/description:"):
                st.markdown(text)


def _list_model_cards() -> list[Path]:
    """Return the model cards: packaged models, single-stage runs, classifier runs."""
    models = resource_path("models")
    packaged_cards = [path for path in models.glob("*.md") if path.name != "README.md"]
    runs = [models / "runs" / name / CARD_NAME for name in list_training_runs()]
    single_stage_cards = sorted((models / "runs-onepass").glob(f"*/{CARD_NAME}"))
    return sorted(packaged_cards) + single_stage_cards + runs


def _read_model_card(path: Path) -> tuple[str, str]:
    """Return the title and the text of a model card, with smaller headings."""
    title, _, text = path.read_text(encoding="utf-8").partition("\n")
    return f"Model card: {title.lstrip('# ')}", text.replace("\n## ", "\n#### ")


def _render_licences() -> None:
    st.markdown(
        "maskdet and the models trained for it are free under the Apache licence 2.0. "
        "These are the model files. Those that are not included come from their "
        "publishers, only on request: with a button on the Models page, or "
        "`maskdet models fetch NAME`."
    )
    availability = {True: "included", False: "downloaded on request"}
    lines = [
        f"- **{asset.name}** ({asset.licence}, {availability[asset.is_bundled]}): "
        f"{asset.note}"
        for asset in MODEL_FILES.values()
    ]
    st.markdown("\n".join(lines))
    st.markdown(_LIBRARIES)
