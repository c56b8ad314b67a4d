"""What the Tune page tunes on: stored scores, a set of the visitor's own, or labels."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.datasets.class_names import IGNORE, NO_FACE, TARGETS, ClassNames
from maskdet.tune import bundled as stored
from maskdet.tune.files import from_bytes, refuse_crowds
from maskdet.tune.judging import Judge
from maskdet.tune.scored import LabelledSet
from maskdet.tune.sets import ClassesError, read_set
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.results import short_name
from maskdet.web.tune import Desk, Material
from maskdet.web.tune_label import label_here
from maskdet.web.tune_scoring import looked_at, notes
from maskdet.web.uploads import keep_within
from maskdet.wording import counted

MAX_ZIP_MB = 200
"""Of a set that is sent; it is read in memory."""

_ASKED = 60
"""Names of classes that are asked about; sets with more are of something else."""

_BUNDLED_BY = (DEFAULT_CLASSIFIER, True)
"""The mask model of the stored scores, which may read again."""

_STORED, _OWN, _LABEL = "Stored scores", "My own set", "Label here"


def choose(desk: Desk) -> Material | None:
    """Let the visitor say what to tune on, and return it once it is there."""
    with st.container(horizontal=True, vertical_alignment="center"):
        where = _where()
        name = _stored_name() if where == _STORED else ""
    if where == _STORED:
        return _stored(desk, name)
    return _own(desk) if where == _OWN else label_here(desk)


def _where() -> str:
    return st.segmented_control(
        "Data to tune on",
        (_STORED, _OWN, _LABEL),
        default=_STORED,
        required=True,
        label_visibility="collapsed",
        key="tune.where",
        persist_state="session",
    )


def _stored_name() -> str:
    """Offer the stored scores beside it; without any, return an empty text."""
    names = stored.bundled()
    if not names:
        return ""
    return st.selectbox(
        "Scores of",
        names,
        key="tune.stored",
        persist_state="session",
        label_visibility="collapsed",
        width=330,
    )


def _stored(desk: Desk, name: str) -> Material | None:
    if not name:
        st.info(
            "No stored scores come with this copy: choose a labelled set of your own.",
            icon=":material/folder_open:",
        )
        return None
    try:
        judge = _judge(name)
    except ValueError as error:
        st.error(plain(f"{error}"), icon=":material/error:")
        return None
    st.caption(
        f"{about(judge.scored.truth)}. Numbers only: the pictures themselves do not "
        "come along. No analyzer was trained on them, but our networks and their "
        "second look were chosen on them: expect a little less elsewhere."
    )
    if name not in desk.materials:
        desk.materials[name] = Material(judge, labelled_by=_BUNDLED_BY)
    return desk.materials[name]


# Shared by all visitors: it comes with the project, and nobody changes it.
@st.cache_resource(max_entries=16, show_spinner="Reading stored scores …")
def _judge(name: str) -> Judge:
    return Judge(stored.load_bundled(name))


def same_set(desk: Desk, material: Material) -> dict[str, Material]:
    """Return what other analyzers said about the same set, by name."""
    truth = material.scored.truth
    for name in stored.bundled() if material.pictures is None else ():
        if name.endswith(f" on {truth.name}") and name not in desk.materials:
            try:
                desk.materials[name] = Material(_judge(name), labelled_by=_BUNDLED_BY)
            except ValueError:
                continue  # it is told about where it is chosen
    return {
        name: other
        for name, other in desk.materials.items()
        if other is not material and _same(other.scored.truth, truth)
    }


def _same(one: LabelledSet, other: LabelledSet) -> bool:
    return (one.name, one.names) == (other.name, other.names) and len(one.faces) == len(
        other.faces
    )


def about(truth: LabelledSet) -> str:
    """Return what a set holds in a line, as in "206 pictures, 512 faces: 400 Mask"."""
    style = session.preferences().style
    counts = {label: int((truth.labels == label).sum()) for label in Label}
    parts = [f"{counts[label]:,} {plain(style.title(label))}" for label in CLASSES]
    if counts[Label.UNKNOWN]:
        parts.append(f"{counts[Label.UNKNOWN]:,} of unknown class")
    faces = counted(len(truth.faces), "face") if truth.boxed else "one face each"
    return f"{counted(len(truth.names), 'picture')}, {faces}: {', '.join(parts)}"


def _own(desk: Desk) -> Material | None:
    """Take a set of the visitor's own and return it once it was looked at."""
    st.caption(
        "Boxes as **COCO** (JSON), **VOC** (XML) or **YOLO** (txt), or a folder for "
        "each class: mask, no_mask, incorrect. It is looked at in memory, never "
        "written to a disk, and gone soon after you close this page."
    )
    given, folder = st.columns(2)
    file = given.file_uploader(
        "A zip with pictures and labels",
        type=["zip", "npz"],
        key="tune.zip",
        max_upload_size=MAX_ZIP_MB,
        on_change=_forget,
        args=(desk,),
        help="Or scores that “maskdet tune scores” stored, as .npz.",
    )
    files = folder.file_uploader(
        "Or their folder",
        accept_multiple_files="directory",
        key="tune.folder",
        max_upload_size=MAX_ZIP_MB,
        on_change=_forget,
        args=(desk,),
    )
    if file is not None and not keep_within([file], MAX_ZIP_MB):
        return None
    if file is not None and file.name.lower().endswith(".npz"):
        return _numbers(desk, file)
    sent = [file] if file is not None else files
    # Whoever comes back from another page finds the uploads empty, but not the set.
    if sent and _ids(sent) not in desk.sent:
        _receive(desk, sent, zipped=file is not None)
    elif desk.stale:
        _read(desk)
    desk.stale = False
    return _told(desk)


def _ids(files: Sequence[UploadedFile]) -> tuple[str, ...]:
    return tuple(file.file_id for file in files)


def _told(desk: Desk) -> Material | None:
    """Say what the set holds, or what is wrong with it, and let it be looked at."""
    if desk.trouble:
        st.error(plain(f"{desk.trouble}."), icon=":material/broken_image:")
    if desk.words:
        _classes(desk)
    if desk.loaded is None:
        return None
    truth = desk.loaded.truth
    st.caption(f"**{plain(truth.name)}**: {about(truth)}.")
    notes(desk.loaded.notes)
    return looked_at(desk, desk.loaded, set_key=desk.set_key)


def _classes(desk: Desk) -> None:
    """Ask what the set's own names of classes mean, where they are not usual."""
    known = ClassNames(desk.classes)
    unknown = [word for word in desk.words if not known.target(word)]
    words = sorted(desk.words, key=lambda word: (word not in unknown, word))
    title = f"Classes of this set: {len(words)}"
    style = session.preferences().style
    titles = {
        **{label.key: style.title(label) for label in CLASSES},
        IGNORE: "Ignore this face",
        NO_FACE: "Not a face",
    }
    with st.expander(
        f"{title}, {len(unknown)} of them unknown" if unknown else title,
        expanded=bool(unknown),
        icon=":material/label:",
    ):
        st.caption("What each name in the labels stands for, and how often it is used.")
        with st.form("tune.classes", border=False):
            for start in range(0, len(words[:_ASKED]), 3):
                for column, word in zip(
                    st.columns(3), words[start : start + 3], strict=False
                ):
                    column.selectbox(
                        f"{plain(short_name(word))} ({desk.words[word]:,})",
                        TARGETS,
                        TARGETS.index(known.target(word) or IGNORE),
                        format_func=titles.__getitem__,
                        key=_class_key(desk, word),
                    )
            st.form_submit_button(
                "Read the set with these classes",
                icon=":material/refresh:",
                on_click=_reclassify,
                args=(desk, words[:_ASKED]),
            )


def _class_key(desk: Desk, word: str) -> str:
    return f"tune.class.{desk.set_key}.{word}"


def _reclassify(desk: Desk, words: Sequence[str]) -> None:
    desk.classes = {word: st.session_state[_class_key(desk, word)] for word in words}
    desk.stale = True


def _forget(desk: Desk) -> None:
    """Let go of the set and its pictures; memory is for one set a visitor."""
    _drop(desk)
    desk.zipped, desk.classes = ("", b""), {}
    desk.found.clear()
    desk.sent.clear()


def _drop(desk: Desk) -> None:
    """Let go of what was read, but not of what analyzers found in its pictures."""
    if desk.set_key:
        desk.drop(desk.set_key)
    desk.set_key, desk.loaded, desk.trouble, desk.words = "", None, "", {}
    desk.running, desk.failed, desk.looked = "", "", 0


def _numbers(desk: Desk, file: UploadedFile) -> Material | None:
    ids = _ids([file])
    if ids not in desk.sent:
        desk.sent[ids] = hashlib.sha256(file.getvalue()).hexdigest()
    name = desk.sent[ids]
    if name not in desk.materials:
        try:
            judge = Judge(from_bytes(file.getvalue(), short_name(file.name)))
        except ValueError as error:
            st.error(plain(f"{error}."), icon=":material/broken_image:")
            return None
        desk.materials[name] = Material(judge)
    material = desk.materials[name]
    st.caption(
        f"{plain(material.scored.analyzer)} on {plain(material.scored.truth.name)}: "
        f"{about(material.scored.truth)}."
    )
    return material


def _receive(desk: Desk, files: Sequence[UploadedFile], *, zipped: bool) -> None:
    """Take a set that was sent as a zip or as a folder, and read it once."""
    _forget(desk)
    name = files[0].name
    name = name.rsplit(".", 1)[0] if zipped else name.partition("/")[0]
    try:
        desk.zipped = name, files[0].getvalue() if zipped else _packed(files)
        _read(desk)
    except ValueError as error:
        desk.trouble = f"{short_name(name)}: {error}"
    desk.sent[_ids(files)] = desk.set_key


def _read(desk: Desk) -> None:
    """Read the set with the visitor's classes; what is wrong is one line."""
    _drop(desk)
    name, content = desk.zipped
    key = hashlib.sha256(content)
    key.update(repr(sorted(desk.classes.items())).encode("utf-8", "backslashreplace"))
    desk.set_key = key.hexdigest()
    bar = st.progress(0.0, "Reading the set …")

    def progress(done: int, of: int) -> None:
        bar.progress(done / max(1, of), f"Reading picture {done} of {of} …")

    try:
        loaded = read_set(
            content,
            short_name(name),
            classes=ClassNames(desk.classes),
            progress=progress,
        )
        refuse_crowds(loaded.truth)
        desk.loaded, desk.words = loaded, loaded.words
    except (ValueError, FileNotFoundError) as error:
        desk.trouble = f"{short_name(name)}: {error}"
        desk.words = error.words if isinstance(error, ClassesError) else {}
    bar.empty()


def _packed(files: Sequence[UploadedFile]) -> bytes:
    """Return a folder that was sent file by file as one zip, to be read like any.

    Raises:
        ValueError: it is larger than a zip may be; each file for itself may be small.
    """
    if sum(file.size for file in files) > MAX_ZIP_MB * 2**20:
        raise ValueError(
            f"the folder is larger than {MAX_ZIP_MB} MB; please send fewer pictures"
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.writestr(file.name, file.getvalue())
    return content.getvalue()
