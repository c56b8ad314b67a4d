"""About: what maskdet can and cannot do, how to read it, models, licences."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from maskdet import __version__
from maskdet.analyzers.pipelines import ANALYZERS, DEFAULT_ANALYZER
from maskdet.evaluation.training_runs import CARD_NAME, list_training_runs
from maskdet.model_zoo import MODEL_FILES, ModelFile
from maskdet.resources import resource_path
from maskdet.web import session
from maskdet.web.widgets import legend_html

_CAPABILITIES = """
maskdet finds the faces in your camera's stream, in an image or in a video and says
for each one whether it wears a mask, wears none, or wears it wrongly.

**It can**

- look at many faces in one image and tell each label with its confidence,
- say "Unsure" instead of guessing, below the confidence you ask for,
- follow people in a stream or video, also for a while when they turn away, and let
  several views of somebody make one verdict,
- guess how far apart people stand,
- show what every threshold costs before you choose it,
- give you the results as images, videos, JSON and CSV.

**It cannot**

- be always right. Small, dark, blurred, turned or half hidden faces are missed or
  mislabelled more often, and a scarf, a hand or a beard can pass for a mask;
- say who somebody is. It does not recognise people and has no list of faces;
- know somebody again: whoever leaves and comes back is somebody new;
- say whether a mask is a good one, or was worn a minute ago.
"""

_SECURITY = """
**maskdet is no security device.** Do not let it decide who may enter, who is at
fault or who is safe. It is no medical device either.
"""

_PRIVACY = """
- Images are looked at in the memory of the computer that runs this page. None is
  written to its disk, and none is sent on to anybody.
- Videos need a file while they are worked on: in memory where there is room, else in a
  private temporary folder; it is deleted soon after. The Video page says which.
- Events are written down only if you switch that on, and never with an image. Alerts
  go only where you send them.
- If that computer is not yours, your images travel to it, and no further.
- Uploaded images and what was found in them stay in the memory of your own session,
  so that a moved slider need not wait, and are gone soon after you close this page.
  No other visitor can see them.
- Streamlit's usage statistics are switched off.
"""

_SCORES = """
- **Confidence** is the classifier's own estimate that its label is the right one. It
  is an estimate, no promise: faces unlike those it learned from can be wrong at any
  confidence.
- **Face score** is how sure the face detector is that there is a face at all. It says
  nothing about the mask, and different detectors count differently.
- The thresholds for both are in the sidebar. A higher face score shows fewer faces;
  a higher confidence shows more of them as "Unsure".
"""

_LIBRARIES = """
Built on [Streamlit](https://streamlit.io) (Apache-2.0),
[streamlit-webrtc](https://github.com/whitphx/streamlit-webrtc) (MIT),
[OpenCV](https://opencv.org) (Apache-2.0; its Haar cascades: Intel licence),
[LiteRT](https://ai.google.dev/edge/litert), [TensorFlow](https://www.tensorflow.org)
and [Keras](https://keras.io) (Apache-2.0),
[ONNX Runtime](https://onnxruntime.ai) (MIT),
[mtcnn](https://github.com/ipazc/mtcnn) (MIT),
[YuNet](https://github.com/ShiqiYu/libfacedetection.train) (Apache-2.0; our one-pass
network was trained on from its weights),
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
    st.subheader("Your images stay yours")
    st.markdown(_PRIVACY)
    st.subheader("How to read the results")
    st.html(legend_html(session.get_preferences().style))
    st.markdown(_SCORES)
    st.subheader("Models")
    _render_models()
    st.subheader("Licences and credits")
    _render_licences()


def _render_models() -> None:
    lines = [
        f"- **{name}**: {line}" + (" (the default)" if name == DEFAULT_ANALYZER else "")
        for name, line in ANALYZERS.items()
    ]
    st.markdown("These analyzers can be chosen in the sidebar:\n\n" + "\n".join(lines))
    # Wide tables and a sum of 64 letters would make the page wider than a phone.
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
    """Return the cards of all models, our own first."""
    models = resource_path("models")
    packaged_cards = [path for path in models.glob("*.md") if path.name != "README.md"]
    runs = [models / "runs" / name / CARD_NAME for name in list_training_runs()]
    single_stage_cards = sorted((models / "runs-onepass").glob(f"*/{CARD_NAME}"))
    return sorted(packaged_cards) + single_stage_cards + runs


def _read_model_card(path: Path) -> tuple[str, str]:
    """Return title and text of a model's card, its headings made smaller."""
    title, _, text = path.read_text(encoding="utf-8").partition("\n")
    return f"Model card: {title.lstrip('# ')}", text.replace("\n## ", "\n#### ")


def _render_licences() -> None:
    st.markdown(
        "maskdet itself, and the models trained for it, are free under the Apache "
        "licence 2.0. These model files exist; those that do not come with maskdet are "
        "fetched from their publishers with `maskdet models fetch NAME`:"
    )
    st.markdown("\n".join(_format_asset(asset) for asset in MODEL_FILES.values()))
    st.markdown(_LIBRARIES)


def _format_asset(asset: ModelFile) -> str:
    availability = (
        "comes with maskdet" if asset.is_bundled else "fetched when asked for"
    )
    return f"- **{asset.name}** ({asset.licence}, {availability}): {asset.note}"
