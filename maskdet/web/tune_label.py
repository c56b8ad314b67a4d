"""Label pictures on the Tune page: an analyzer boxes, the visitor has the last word."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import partial

import numpy as np
import streamlit as st

from maskdet.analyzer import resolved
from maskdet.charts.tune_pictures import AREA, boxes_chart
from maskdet.classifier import crop_face
from maskdet.media import encode_jpeg
from maskdet.style import percent
from maskdet.tune.draft import Draft
from maskdet.tune.labelling import draft_of
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.pictures import CROP_PX, MAX_PICTURES
from maskdet.web.results import short_name
from maskdet.web.tune import Desk, Material
from maskdet.web.tune_scoring import looked_at, notes
from maskdet.web.uploads import MAX_PICTURE_MB, keep_within
from maskdet.wording import counted

_WANTED, _TROUBLE = "maskdet.tune.box", "maskdet.tune.unlabelled"
_AT_ONCE = 6
"""Faces that are asked about at once."""


def label_here(desk: Desk) -> Material | None:
    """Let the visitor label pictures, and return them once an analyzer was judged."""
    st.caption(
        f"Send up to {MAX_PICTURES} pictures. The analyzer boxes the faces; you "
        "confirm or correct each with one click, doubtful ones first. Nothing is saved "
        "here: download what you did."
    )
    if session.preferences().style.blur:
        st.caption("Labelling needs to see the faces: here they are not blurred.")
    files = st.file_uploader(
        "Pictures to label",
        # No `type`: a browser would refuse by name what the content decides.
        accept_multiple_files=True,
        max_upload_size=MAX_PICTURE_MB,
        key="tune.pictures",
    )
    files = keep_within(files, MAX_PICTURE_MB)
    if files:
        count = min(len(files), MAX_PICTURES)
        st.button(
            f"Find the faces in {counted(count, 'picture')}",
            type="primary" if desk.draft is None else "secondary",
            icon=":material/frame_person:",
            key="tune.box",
            on_click=_wanted,
        )
    if st.session_state.pop(_WANTED, False):
        uploads = [(file.name, file.getvalue()) for file in files[:MAX_PICTURES]]
        _box(desk, uploads)
    if desk.draft is None:
        return None
    notes(desk.labelled[1].notes if desk.labelled else desk.draft.notes)
    _ask(desk)
    return _done(desk)


def _wanted() -> None:
    st.session_state[_WANTED] = True


def _box(desk: Desk, uploads: list[tuple[str, bytes]]) -> None:
    preferences = session.preferences()
    analyzer = session.analyzer(resolved(preferences.analyzer, live=False))
    bar = st.progress(0.0, "Finding the faces …")

    def progress(done: int, of: int) -> None:
        bar.progress(done / max(1, of), f"Finding the faces: {done} of {of} …")

    try:
        desk.draft = draft_of(
            uploads, analyzer, preferences.settings, progress=progress
        )
    except ValueError as error:
        st.error(plain(f"{error}."), icon=":material/broken_image:")
    _renew(desk, desk.draft)
    bar.empty()


def _renew(desk: Desk, draft: Draft | None) -> None:
    """Take a new state of the labels; what was judged by the old one is out of date."""
    desk.draft = draft
    desk.labelled = None
    desk.drop("labels ")


# Only its own part of the page is drawn anew by a click.
@st.fragment
def _ask(desk: Desk) -> None:
    """Ask about the most doubtful faces, and for faces that were missed."""
    draft = desk.draft
    if draft is None:
        return
    open_faces = draft.doubtful()
    faces = sum(len(picture.faces) for picture in draft.pictures)
    st.progress(
        1 - len(open_faces) / faces if faces else 1.0,
        f"{faces - len(open_faces)} of {counted(faces, 'face')} confirmed",
    )
    columns = st.columns(3)
    for number, (picture, face) in enumerate(open_faces[:_AT_ONCE]):
        with columns[number % 3].container(border=True):
            _one(desk, draft, picture, face)
    if open_faces:
        st.button(
            f"All {len(open_faces)} are right as they are",
            icon=":material/done_all:",
            key="tune.label_all",
            on_click=_confirm_all,
            args=(desk,),
        )
    with st.expander("A face was missed: add its box", icon=":material/add_box:"):
        _add(desk, draft)


def _one(desk: Desk, draft: Draft, picture: int, face: int) -> None:
    one, style = draft.pictures[picture].faces[face], session.preferences().style
    st.html(_crop(draft, picture, face))
    for label in CLASSES:
        guess = label is one.label
        st.button(
            plain(style.title(label))
            + (f" ({percent(one.confidence)})" if guess else ""),
            type="primary" if guess else "secondary",
            key=f"tune.label.{picture}.{face}.{label.key}.{len(draft.doubtful())}",
            width="stretch",
            on_click=_say,
            args=(desk, picture, face, label),
        )
    st.button(
        "No face",
        icon=":material/close:",
        type="tertiary",
        key=f"tune.label.{picture}.{face}.none.{len(draft.doubtful())}",
        on_click=_say,
        args=(desk, picture, face, None),
    )


def _say(desk: Desk, picture: int, face: int, label: Label | None) -> None:
    draft = desk.draft
    if draft is None:
        return
    if label is None:
        _renew(desk, draft.removed(picture, face))
    else:
        _renew(desk, draft.relabelled(picture, face, label))


def _confirm_all(desk: Desk) -> None:
    draft = desk.draft
    if draft is not None:
        for picture in range(len(draft.pictures)):
            draft = draft.completed(picture)
        _renew(desk, draft)


def _crop(draft: Draft, picture: int, face: int) -> str:
    box = np.array(draft.pictures[picture].faces[face].box, np.float32)
    jpeg = encode_jpeg(crop_face(draft.image(picture), box, CROP_PX))
    source = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    return (
        f'<img src="{source}" alt="A face to label" style="width:100%;'
        'max-width:130px;border-radius:.4rem;display:block;margin:auto">'
    )


def _add(desk: Desk, draft: Draft) -> None:
    """Let the visitor draw a box on a picture, and say what it shows."""
    names = [short_name(picture.name) for picture in draft.pictures]
    picture = st.selectbox(
        "In which picture",
        range(len(names)),
        format_func=lambda number: names[number],
        key="tune.add_to",
    )
    st.caption("Draw a box around the face, then say what it shows.")
    style = session.preferences().style
    # A wide picture scrolls on a phone: squeezed, it would be hard to draw upon.
    st.html("<style>.st-key-tune_draw {overflow-x: auto;}</style>")
    state = st.container(key="tune_draw").vega_lite_chart(
        boxes_chart(
            draft.image(picture),
            [(face.box, face.label) for face in draft.pictures[picture].faces],
            style,
        ),
        key=f"tune.draw.{picture}.{len(draft.pictures[picture].faces)}",
        on_select="rerun",
        selection_mode=AREA,
        width="content",
        alt="The picture with its boxes; draw another one",
    )
    area = dict(state["selection"].get(AREA) or {})
    with st.container(horizontal=True):
        for label in CLASSES:
            st.button(
                f"It is “{plain(style.title(label))}”",
                disabled=len(area) < 2,
                key=f"tune.add.{label.key}",
                on_click=_added,
                args=(desk, picture, area, label),
            )


def _added(
    desk: Desk, picture: int, area: dict[str, list[float]], label: Label
) -> None:
    if desk.draft is None:
        return
    (x1, x2), (y1, y2) = sorted(area["x"]), sorted(area["y"])
    _renew(desk, desk.draft.added(picture, (x1, y1, x2, y2), label))


def _done(desk: Desk) -> Material | None:
    """Offer the labels as files, and to tune on them."""
    draft = desk.draft
    if draft is None:
        return None
    with st.container(horizontal=True):
        st.download_button(
            "Labels (COCO)",
            partial(_coco, desk),
            file_name="maskdet-labels.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Labels and pictures (zip)",
            partial(_packed, desk),
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
            on_click=_tune_on,
            args=(desk,),
        )
    if _TROUBLE in st.session_state:
        st.warning(f"{plain(st.session_state.pop(_TROUBLE))}.", icon=":material/info:")
    if desk.labelled is None:
        return None
    key, loaded = desk.labelled
    return looked_at(desk, loaded, set_key=key)


def _tune_on(desk: Desk) -> None:
    if desk.draft is not None:
        # Every change of a label makes another set.
        key = hashlib.sha256(desk.draft.coco()).hexdigest()
        try:
            desk.labelled = f"labels {key}", desk.draft.loaded()
        except ValueError as error:
            st.session_state[_TROUBLE] = str(error)


# A click on a face draws only the faces anew: files are of the labels of that moment.
def _coco(desk: Desk) -> bytes:
    return desk.draft.coco() if desk.draft else b""


def _packed(desk: Desk) -> bytes:
    return desk.draft.packed() if desk.draft else b""
