"""Label images on the Tune page: the visitor confirms or corrects detections."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import streamlit as st

from maskdet.analyzers.pipelines import resolve_analyzer
from maskdet.boxes import Boxes
from maskdet.charts.tuning import BOX_SELECTION, draw_boxes_chart
from maskdet.media import encode_jpeg, resize_image
from maskdet.style import format_percent
from maskdet.tuning.annotation import Draft, create_draft
from maskdet.types import CLASSES, Image, Label
from maskdet.web import session
from maskdet.web.components import load_component, to_media_url
from maskdet.web.image.cache import MAX_IMAGES
from maskdet.web.image.results import shorten_name
from maskdet.web.server.uploads import MAX_IMAGE_MB, reject_large_files
from maskdet.web.tune.scoring import render_notes, render_scoring
from maskdet.web.tune.tune_state import FaceKey, TuneState, TuningSet
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count, join_percent

_DETECT_KEY = "maskdet.tuning.detect"

_STALE_KEY = "maskdet.tuning.labels_changed"
"""Session key of whether the page beyond the labels must be drawn again."""

_LABELLER_KEY = "tune.labeller"

MIN_CONFIRMED: Final = 10
"""Confirmed faces with a class from which thresholds can be tuned on labels."""

_MAX_UNDO: Final = 50
"""Steps that can be undone."""

_SURROUNDINGS: Final = 3.0
"""Side of the surroundings of a face, in sides of its box."""

_SURROUNDINGS_PX: Final = 420
"""Long side of the surroundings on the page."""


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
    _render_labelling(state)
    if state.annotated is None:
        return None
    key, dataset = state.annotated
    return render_scoring(state, dataset, set_key=key)


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
        draft = create_draft(uploads, analyzer, preferences.settings, progress=progress)
    except ValueError as error:
        st.error(escape_markdown(f"{error}."), icon=":material/broken_image:")
        bar.empty()
    else:
        state.draft_history.clear()
        _set_draft(state, draft)
        st.rerun()  # the button for the first step no longer stands out


def _set_draft(state: TuneState, draft: Draft) -> None:
    """Set new labels, and discard predictions that were matched to the old ones."""
    state.draft, state.labelled_face = draft, None
    if state.annotated is not None:
        st.session_state[_STALE_KEY] = True
    state.annotated = None
    state.drop_set("labels ")


# A step reruns only this part of the page.
@st.fragment
def _render_labelling(state: TuneState) -> None:
    """Show a face to label, the form for missed faces, and the use of the labels."""
    draft = state.draft
    if draft is None:
        return
    if st.session_state.pop(_STALE_KEY, False):
        st.rerun()
    n_faces = sum(len(image.faces) for image in draft.images)
    n_open = len(draft.rank_unconfirmed())
    st.progress(
        1 - n_open / n_faces if n_faces else 1.0,
        f"{n_faces - n_open} of {format_count(n_faces, 'face')} confirmed",
    )
    face = _current_face(state, draft)
    if face is None:
        st.caption("No face is detected. Add those that were missed.")
    else:
        _render_labeller(state, draft, face)
    if n_open:
        st.button(
            f"Confirm the other {n_open}"
            if n_open < n_faces
            else f"Confirm all {n_open}",
            icon=":material/done_all:",
            key="tune.label_all",
            on_click=_confirm_all,
            args=(state,),
            help="Look at these faces first. Labels that nobody has checked only "
            "repeat the analyzer's predictions.",
        )
    expander = st.expander(
        "Add a missed face",
        icon=":material/add_box:",
        key="tune.missed",
        on_change="rerun",
    )
    # Closed, it would encode its image again at each step.
    if expander.open:
        with expander:
            _render_add_box(state, draft)
    _render_label_export(state, draft)


def _list_faces(draft: Draft) -> list[FaceKey]:
    """Return all faces: first the unconfirmed ones, most uncertain first."""
    return [
        *draft.rank_unconfirmed(),
        *(
            (image_index, face_index)
            for image_index, image in enumerate(draft.images)
            for face_index, face in enumerate(image.faces)
            if face.confirmed
        ),
    ]


def _current_face(state: TuneState, draft: Draft) -> FaceKey | None:
    """Return the face to show, the first one by default; None without faces."""
    faces = _list_faces(draft)
    if state.labelled_face in faces:
        return state.labelled_face
    return faces[0] if faces else None


def _render_labeller(state: TuneState, draft: Draft, face: FaceKey) -> None:
    def get(event: str) -> Any:
        return st.session_state[_LABELLER_KEY].get(event)

    load_component("maskdet.web.tune", "labeller")(
        data=build_labeller_data(state, draft, face),
        key=_LABELLER_KEY,
        on_labelled_change=lambda: _on_label(state, get("labelled")),
        on_moved_change=lambda: _on_move(state, draft, face, get("moved")),
        on_undone_change=lambda: _undo(state),
    )


def build_labeller_data(
    state: TuneState, draft: Draft, face: FaceKey
) -> dict[str, Any]:
    """Return what the browser shows of a face; all texts are plain."""
    image_index, face_index = face
    draft_face = draft.images[image_index].faces[face_index]
    style = session.get_preferences().style
    jpeg, box = crop_surroundings(
        draft.load_image(image_index), np.array(draft_face.box, np.float32)
    )
    title = style.title(draft_face.label)
    name = shorten_name(draft.images[image_index].name)
    n_faces = len(draft.images[image_index].faces)
    return {
        # The browser waits for other data after each step.
        "step": state.label_steps,
        "face": list(face),
        "image": to_media_url(jpeg),
        "box": box,
        "place": f"Face {face_index + 1} of {n_faces} in {name}",
        "guess": f"Confirmed: {title}"
        if draft_face.confirmed
        else join_percent(
            f"Detected: {title} ({format_percent(draft_face.confidence)})"
        ),
        "classes": [
            {
                "key": label.key,
                "title": style.title(label),
                "colour": style.colour_css(label),
                "selected": label is draft_face.label,
            }
            for label in CLASSES
        ],
        "undo": bool(state.draft_history),
    }


def crop_surroundings(image: Image, box: Boxes) -> tuple[bytes, list[float]]:
    """Return a face with its surroundings, and its box in it.

    Args:
        image: the image.
        box: `(4,)` corners of the face in pixels.

    Returns:
        A JPEG, and left, top, width and height of the box as fractions of its size.
    """
    height, width = image.shape[:2]
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    reach = _SURROUNDINGS * side / 2
    x1, y1 = (max(0, int(low)) for low in centre - reach)
    x2 = min(width, max(x1 + 1, int(centre[0] + reach)))
    y2 = min(height, max(y1 + 1, int(centre[1] + reach)))
    part = image[y1:y2, x1:x2]
    enlarged = resize_image(part, _SURROUNDINGS_PX / max(part.shape[:2]))
    corner, size = np.array([x1, y1]), np.array([x2 - x1, y2 - y1])
    place = np.concatenate([(box[:2] - corner) / size, (box[2:] - box[:2]) / size])
    return encode_jpeg(enlarged), [round(float(value), 4) for value in place]


def _on_label(state: TuneState, step: Any) -> None:
    """Label or remove the face that the browser showed, and go to the next one."""
    draft = state.draft
    state.label_steps += 1
    face = tuple(step["face"]) if step else ()
    # The list may have changed since the browser drew it.
    if draft is None or face not in _list_faces(draft):
        return
    image_index, face_index = face
    if step["label"]:
        label = next(label for label in CLASSES if label.key == step["label"])
        changed = draft.relabel_face(image_index, face_index, label)
    else:
        changed = draft.remove_face(image_index, face_index)
    _change_draft(state, changed, face)


def _on_move(state: TuneState, draft: Draft, face: FaceKey, step: Any) -> None:
    faces = _list_faces(draft)
    state.label_steps += 1
    state.labelled_face = faces[(faces.index(face) + int(step or 0)) % len(faces)]


def _change_draft(state: TuneState, draft: Draft, face: FaceKey | None = None) -> None:
    """Set new labels that can be undone, and go to the next unconfirmed face."""
    if state.draft is not None:
        state.draft_history.append((state.draft, face))
        del state.draft_history[:-_MAX_UNDO]
    _set_draft(state, draft)


def _undo(state: TuneState) -> None:
    state.label_steps += 1
    if state.draft_history:
        draft, face = state.draft_history.pop()
        _set_draft(state, draft)
        state.labelled_face = face


def _confirm_all(state: TuneState) -> None:
    draft = state.draft
    if draft is not None:
        for image_index in range(len(draft.images)):
            draft = draft.complete_image(image_index)
        _change_draft(state, draft)


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
    _change_draft(state, state.draft.add_face(image_index, (x1, y1, x2, y2), label))


def _render_label_export(state: TuneState, draft: Draft) -> None:
    """Show the downloads of the labels and the button that uses them for tuning."""
    n_missing = max(0, MIN_CONFIRMED - draft.count_labelled())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Tune on these labels",
            # Once they are in use, the button that runs the analyzer stands out.
            type="secondary" if state.annotated else "primary",
            icon=":material/tune:",
            key="tune.on_labels",
            disabled=bool(n_missing or state.annotated),
            on_click=_use_labels,
            args=(state, draft),
        )
        st.download_button(
            "Labels (COCO)",
            draft.to_coco,
            file_name="maskdet-labels.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Labels and images (zip)",
            draft.to_zip,
            file_name="maskdet-set.zip",
            mime="application/zip",
            icon=":material/folder_zip:",
            on_click="ignore",
        )
    if n_missing:
        st.caption(
            f"Confirm {format_count(n_missing, 'more face')} to tune on these labels: "
            f"with fewer than {MIN_CONFIRMED}, each face would move the rates too much."
        )


def _use_labels(state: TuneState, draft: Draft) -> None:
    # Other labels make another dataset.
    key = hashlib.sha256(draft.to_coco()).hexdigest()
    state.annotated = f"labels {key}", draft.to_dataset()
    st.session_state[_STALE_KEY] = True
