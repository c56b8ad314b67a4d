"""Label images on the Tune page: the visitor confirms or corrects detections."""

from __future__ import annotations

import hashlib

import numpy as np
import streamlit as st

from maskdet.analyzers.pipelines import resolve_analyzer
from maskdet.charts.tuning import BOX_SELECTION, draw_boxes_chart
from maskdet.classifier import crop_face
from maskdet.html_templates import encode_data_url
from maskdet.media import encode_jpeg
from maskdet.style import format_percent
from maskdet.tuning.annotation import Draft, create_draft
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.image.cache import CROP_PX, MAX_IMAGES
from maskdet.web.image.results import shorten_name
from maskdet.web.server.uploads import MAX_IMAGE_MB, reject_large_files
from maskdet.web.tune.scoring import render_notes, render_scoring
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

_DETECT_KEY, _LABEL_ERROR_KEY = "maskdet.tuning.detect", "maskdet.tuning.label_error"
_FACES_AT_ONCE = 6
"""Number of faces shown for labelling at a time."""


def annotate_images(state: TuneState) -> TuningSet | None:
    """Let the visitor label images; return them once an analyzer has run on them."""
    st.caption(
        f"Upload up to {MAX_IMAGES} images. Confirm or correct each detected face, "
        "uncertain ones first. Download your labels: they are not stored."
    )
    if session.get_preferences().style.blur:
        st.caption("Faces are not blurred here, as labelling needs to show them.")
    files = st.file_uploader(
        "Images to label",
        # No `type`: the content decides, not the name of the file.
        accept_multiple_files=True,
        max_upload_size=MAX_IMAGE_MB,
        key="tune.images",
    )
    files = reject_large_files(files, MAX_IMAGE_MB)
    if files:
        count = min(len(files), MAX_IMAGES)
        st.button(
            f"Detect faces in {format_count(count, 'image')}",
            type="primary" if state.draft is None else "secondary",
            icon=":material/frame_person:",
            key="tune.detect",
            on_click=_request_detection,
        )
    if st.session_state.pop(_DETECT_KEY, False):
        uploads = [(file.name, file.getvalue()) for file in files[:MAX_IMAGES]]
        _detect_faces(state, uploads)
    if state.draft is None:
        return None
    render_notes(state.annotated[1].notes if state.annotated else state.draft.notes)
    _render_uncertain_faces(state)
    return _render_label_export(state)


def _request_detection() -> None:
    st.session_state[_DETECT_KEY] = True


def _detect_faces(state: TuneState, uploads: list[tuple[str, bytes]]) -> None:
    preferences = session.get_preferences()
    analyzer = session.get_analyzer(resolve_analyzer(preferences.analyzer, live=False))
    bar = st.progress(0.0, "Detecting faces …")

    def progress(done: int, total: int) -> None:
        bar.progress(
            done / max(1, total), f"Detecting faces: image {done} of {total} …"
        )

    try:
        state.draft = create_draft(
            uploads, analyzer, preferences.settings, progress=progress
        )
    except ValueError as error:
        st.error(escape_markdown(f"{error}."), icon=":material/broken_image:")
    _set_draft(state, state.draft)
    bar.empty()


def _set_draft(state: TuneState, draft: Draft | None) -> None:
    """Set new labels, and discard predictions that were matched to the old ones."""
    state.draft = draft
    state.annotated = None
    state.drop_set("labels ")


# A click reruns only this part of the page.
@st.fragment
def _render_uncertain_faces(state: TuneState) -> None:
    """Show the most uncertain faces for labelling, and the form for missed faces."""
    draft = state.draft
    if draft is None:
        return
    open_faces = draft.rank_unconfirmed()
    faces = sum(len(image.faces) for image in draft.images)
    st.progress(
        1 - len(open_faces) / faces if faces else 1.0,
        f"{faces - len(open_faces)} of {format_count(faces, 'face')} confirmed",
    )
    columns = st.columns(3)
    for position, (image, face) in enumerate(open_faces[:_FACES_AT_ONCE]):
        with columns[position % 3].container(border=True):
            _render_face(state, draft, image, face)
    if open_faces:
        st.button(
            f"Confirm all {len(open_faces)}",
            icon=":material/done_all:",
            key="tune.label_all",
            on_click=_confirm_all,
            args=(state,),
        )
    with st.expander("Add a missed face", icon=":material/add_box:"):
        _render_add_box(state, draft)


def _render_face(
    state: TuneState, draft: Draft, image_index: int, face_index: int
) -> None:
    draft_face = draft.images[image_index].faces[face_index]
    style = session.get_preferences().style
    key = f"tune.label.{image_index}.{face_index}"
    n_open = len(draft.rank_unconfirmed())
    st.html(_crop_to_label_html(draft, image_index, face_index))
    for label in CLASSES:
        guess = label is draft_face.label
        st.button(
            escape_markdown(style.title(label))
            + (f" ({format_percent(draft_face.confidence)})" if guess else ""),
            type="primary" if guess else "secondary",
            key=f"{key}.{label.key}.{n_open}",
            width="stretch",
            on_click=_on_label,
            args=(state, image_index, face_index, label),
        )
    st.button(
        "No face",
        icon=":material/close:",
        type="tertiary",
        key=f"{key}.none.{n_open}",
        on_click=_on_label,
        args=(state, image_index, face_index, None),
    )


def _on_label(
    state: TuneState, image_index: int, face_index: int, label: Label | None
) -> None:
    draft = state.draft
    if draft is None:
        return
    if label is None:
        _set_draft(state, draft.remove_face(image_index, face_index))
    else:
        _set_draft(state, draft.relabel_face(image_index, face_index, label))


def _confirm_all(state: TuneState) -> None:
    draft = state.draft
    if draft is not None:
        for image_index in range(len(draft.images)):
            draft = draft.complete_image(image_index)
        _set_draft(state, draft)


def _crop_to_label_html(draft: Draft, image_index: int, face_index: int) -> str:
    box = np.array(draft.images[image_index].faces[face_index].box, np.float32)
    jpeg = encode_jpeg(crop_face(draft.load_image(image_index), box, CROP_PX))
    return (
        f'<img src="{encode_data_url(jpeg)}" alt="A face to label" style="width:100%;'
        'max-width:130px;border-radius:.4rem;display:block;margin:auto">'
    )


def _render_add_box(tune_state: TuneState, draft: Draft) -> None:
    """Let the visitor draw a box on an image and choose its class."""
    names = [shorten_name(image.name) for image in draft.images]
    image = st.selectbox(
        "Image",
        range(len(names)),
        format_func=lambda index: names[index],
        key="tune.add_to",
    )
    st.caption("Draw a box around the face, then choose its class.")
    style = session.get_preferences().style
    # On a phone a wide image scrolls: scaled down, it would be hard to draw on.
    st.html("<style>.st-key-tune_draw {overflow-x: auto;}</style>")
    state = st.container(key="tune_draw").vega_lite_chart(
        draw_boxes_chart(
            draft.load_image(image),
            [(face.box, face.label) for face in draft.images[image].faces],
            style,
        ),
        key=f"tune.draw.{image}.{len(draft.images[image].faces)}",
        on_select="rerun",
        selection_mode=BOX_SELECTION,
        width="content",
        alt="Image with its boxes; drag to draw another one",
    )
    area = dict(state["selection"].get(BOX_SELECTION) or {})
    with st.container(horizontal=True):
        for label in CLASSES:
            st.button(
                f"Add “{escape_markdown(style.title(label))}”",
                disabled=len(area) < 2,
                key=f"tune.add.{label.key}",
                on_click=_on_box_added,
                args=(tune_state, image, area, label),
            )


def _on_box_added(
    state: TuneState, image_index: int, area: dict[str, list[float]], label: Label
) -> None:
    if state.draft is None:
        return
    (x1, x2), (y1, y2) = sorted(area["x"]), sorted(area["y"])
    _set_draft(state, state.draft.add_face(image_index, (x1, y1, x2, y2), label))


def _render_label_export(state: TuneState) -> TuningSet | None:
    """Show the downloads of the labels and the button that uses them for tuning."""
    # A click on a face reruns only the faces, so files are built when downloaded.
    with st.container(horizontal=True):
        st.download_button(
            "Labels (COCO)",
            lambda: state.draft.to_coco() if state.draft else b"",
            file_name="maskdet-labels.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Labels and images (zip)",
            lambda: state.draft.to_zip() if state.draft else b"",
            file_name="maskdet-set.zip",
            mime="application/zip",
            icon=":material/folder_zip:",
            on_click="ignore",
        )
        st.button(
            "Tune on these labels",
            type="primary",
            icon=":material/tune:",
            key="tune.on_labels",
            on_click=_use_labels,
            args=(state,),
        )
    if _LABEL_ERROR_KEY in st.session_state:
        st.warning(
            f"{escape_markdown(st.session_state.pop(_LABEL_ERROR_KEY))}.",
            icon=":material/info:",
        )
    if state.annotated is None:
        return None
    key, dataset = state.annotated
    return render_scoring(state, dataset, set_key=key)


def _use_labels(state: TuneState) -> None:
    if state.draft is not None:
        # Other labels make another dataset.
        key = hashlib.sha256(state.draft.to_coco()).hexdigest()
        try:
            state.annotated = f"labels {key}", state.draft.to_dataset()
        except ValueError as error:
            st.session_state[_LABEL_ERROR_KEY] = str(error)
