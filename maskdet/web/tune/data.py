"""Data of the Tune page: stored predictions, an uploaded dataset, or own labels."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Sequence
from typing import Final

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from maskdet.analyzers.pipelines import get_analyzer_title, resolve_analyzer
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.datasets.archives import FolderFiles
from maskdet.datasets.class_names import CLASS_TARGETS, IGNORE, NO_FACE, ClassNames
from maskdet.datasets.reading import ClassesError
from maskdet.evaluation import predictions as stored
from maskdet.evaluation.labelled_set import ImageStore, import_dataset
from maskdet.evaluation.operating_point import Evaluator
from maskdet.evaluation.predictions import LabelledSet, check_limits, decode_predictions
from maskdet.resources import resource_path
from maskdet.tuning.comparison import is_same_ground_truth
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.image.results import shorten_name
from maskdet.web.server.uploads import reject_large_files
from maskdet.web.tune.annotation import annotate_images
from maskdet.web.tune.scoring import render_notes, render_scoring
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.widgets import escape_markdown, select_segment
from maskdet.wording import format_count

MAX_ZIP_MB = 200
"""Maximum size of an upload, which is read in memory."""

_ZIP_KEY = "tune.zip"
"""Key of the uploader of a dataset or predictions in one file."""

_MAX_CLASS_NAMES = 60
"""Maximum number of class names that can be mapped on the page."""

_BUNDLED_CLASSIFIER = (DEFAULT_CLASSIFIER, True)
"""Classifier of the stored predictions, and that refinement was on."""

_STORED, _OWN, _LABEL = "Built-in data", "My dataset", "Label images"

_STORED_KEY = "tune.stored"

_FOLLOWED_KEY = "maskdet.tuning.live_analyzer"
"""Session key of the analyzer of Live for which predictions were chosen."""

SAMPLES_NOTE: Final = (
    "composed from public-domain portraits, with drawn masks; not a measure of accuracy"
)
"""Note on the sample scenes."""


def select_tuning_set(state: TuneState) -> TuningSet | None:
    """Let the visitor choose the data; return it once it is ready."""
    with st.container(horizontal=True, vertical_alignment="center"):
        source = select_segment(
            "Data", (_STORED, _OWN, _LABEL), key="tune.source", show_label=False
        )
        name = _select_stored_name() if source == _STORED else ""
    if source == _STORED:
        return _load_stored(state, name)
    return _select_own(state) if source == _OWN else annotate_images(state)


def _select_stored_name() -> str:
    """Let the visitor choose stored predictions; return "" if there are none."""
    names = stored.list_bundled()
    if not names:
        return ""
    _follow_live_analyzer(names)
    return st.selectbox(
        "Predictions",
        names,
        format_func=lambda name: _predictions_title(*stored.split_bundled_name(name)),
        key=_STORED_KEY,
        persist_state="session",
        label_visibility="collapsed",
        width=380,
    )


def _predictions_title(analyzer: str, set_name: str) -> str:
    return f"{get_analyzer_title(analyzer)} on {stored.dataset_title(set_name)}"


def _follow_live_analyzer(names: Sequence[str]) -> None:
    """Choose the predictions of the analyzer that Live uses, whenever it changes."""
    live_analyzer = resolve_analyzer(session.get_preferences().analyzer, live=True)
    if st.session_state.get(_FOLLOWED_KEY) == live_analyzer:
        return
    st.session_state[_FOLLOWED_KEY] = live_analyzer
    _, set_name = stored.split_bundled_name(st.session_state.get(_STORED_KEY, ""))
    of_live = [
        name for name in names if stored.split_bundled_name(name)[0] == live_analyzer
    ]
    same_set = stored.join_bundled_name(live_analyzer, set_name)
    if of_live:
        st.session_state[_STORED_KEY] = same_set if same_set in names else of_live[0]


def _load_stored(state: TuneState, name: str) -> TuningSet | None:
    if not name:
        st.info(
            "No built-in data is installed: choose “My dataset” or “Label images”.",
            icon=":material/folder_open:",
        )
        return None
    try:
        tuning_set = _get_stored_set(state, name)
    except ValueError as error:
        st.error(escape_markdown(f"{error}"), icon=":material/error:")
        return None
    note = (
        f"Images included: {SAMPLES_NOTE}."
        if tuning_set.images is not None
        else "Scores only, no images. No analyzer was trained on this set, but it was "
        "used for model selection, so results elsewhere may be slightly lower."
    )
    st.caption(f"{describe_dataset(tuning_set.predictions.ground_truth)}. {note}")
    return tuning_set


def _get_stored_set(state: TuneState, name: str) -> TuningSet:
    """Return stored predictions; raise `ValueError` if they cannot be read."""
    if name not in state.tuning_sets:
        evaluator = _load_evaluator(name)
        ground_truth = evaluator.predictions.ground_truth
        images = None
        if ground_truth.name == stored.SAMPLES_NAME:
            paths = tuple(f"{image_name}.jpg" for image_name in ground_truth.names)
            images = ImageStore(FolderFiles(resource_path("samples/scenes")), paths)
        state.tuning_sets[name] = TuningSet(evaluator, images, _BUNDLED_CLASSIFIER)
    return state.tuning_sets[name]


def find_sample_set(state: TuneState, tuning_set: TuningSet) -> TuningSet | None:
    """Return the predictions of the same analyzer for the sample scenes, if any.

    They stand in for the images of built-in data, which are not included.
    """
    names = stored.list_bundled()
    name = stored.join_bundled_name(
        tuning_set.predictions.analyzer, stored.SAMPLES_NAME
    )
    is_built_in = any(state.tuning_sets.get(other) is tuning_set for other in names)
    if not is_built_in or name not in names:
        return None
    # An error is shown when this entry is chosen.
    with contextlib.suppress(ValueError):
        return _get_stored_set(state, name)
    return None


# Shared by all visitors: it is part of the package and never changed.
@st.cache_resource(max_entries=16, show_spinner="Loading built-in data …")
def _load_evaluator(name: str) -> Evaluator:
    return Evaluator(stored.load_bundled_predictions(name))


def find_comparable_sets(
    state: TuneState, tuning_set: TuningSet
) -> dict[str, TuningSet]:
    """Return the predictions of other analyzers for the same dataset, by name."""
    ground_truth = tuning_set.predictions.ground_truth
    for name in stored.list_bundled():
        if stored.split_bundled_name(name)[1] == ground_truth.name:
            # An error is shown when this entry is chosen.
            with contextlib.suppress(ValueError):
                _get_stored_set(state, name)
    return {
        name: other_set
        for name, other_set in state.tuning_sets.items()
        if other_set is not tuning_set
        and is_same_ground_truth(other_set.predictions.ground_truth, ground_truth)
    }


def describe_dataset(ground_truth: LabelledSet) -> str:
    """Describe a dataset in one line, as in "206 images, 512 faces: 400 Mask"."""
    style = session.get_preferences().style
    counts = {label: int((ground_truth.labels == label).sum()) for label in Label}
    parts = [
        f"{counts[label]:,} {escape_markdown(style.title(label))}" for label in CLASSES
    ]
    if counts[Label.UNKNOWN]:
        parts.append(f"{counts[Label.UNKNOWN]:,} of unknown class")
    faces = (
        format_count(len(ground_truth.faces), "face")
        if ground_truth.has_boxes
        else "one face each"
    )
    return (
        f"{format_count(len(ground_truth.names), 'image')}, {faces}: {', '.join(parts)}"
    )


def _select_own(state: TuneState) -> TuningSet | None:
    """Let the visitor upload a dataset; return it once an analyzer has run on it."""
    st.caption(
        "Boxes as **COCO** (JSON), **VOC** (XML) or **YOLO** (txt), or one folder per "
        "class: mask, no_mask, incorrect. Kept in memory only, and deleted soon after "
        "you close this page."
    )
    zip_column, folder_column = st.columns(2)
    file = zip_column.file_uploader(
        "ZIP file with images and labels",
        type=["zip", "npz"],
        key=_ZIP_KEY,
        max_upload_size=MAX_ZIP_MB,
        on_change=_reset_upload,
        args=(state,),
        help="Or predictions stored by “maskdet tune scores” (.npz).",
    )
    files = folder_column.file_uploader(
        "Or a folder",
        accept_multiple_files="directory",
        key="tune.folder",
        max_upload_size=MAX_ZIP_MB,
        on_change=_reset_upload,
        args=(state,),
    )
    if file is not None and not reject_large_files([file], MAX_ZIP_MB):
        return None
    if file is not None and file.name.lower().endswith(".npz"):
        return _load_uploaded_scores(state, file)
    uploads = [file] if file is not None else files
    # After a visit to another page the uploaders are empty, but the set is kept.
    if uploads and _file_ids(uploads) not in state.upload_keys:
        _receive_upload(state, uploads, zipped=file is not None)
    elif state.needs_reload:
        _import_dataset(state)
    state.needs_reload = False
    return _render_imported(state)


def _file_ids(files: Sequence[UploadedFile]) -> tuple[str, ...]:
    return tuple(file.file_id for file in files)


def _render_imported(state: TuneState) -> TuningSet | None:
    """Show what was imported or why it failed, and let an analyzer run on it."""
    if state.import_error:
        st.error(
            escape_markdown(f"{state.import_error}."), icon=":material/broken_image:"
        )
    if state.class_name_counts:
        _render_class_mapping(state)
    if state.dataset is None:
        return None
    ground_truth = state.dataset.ground_truth
    st.caption(
        f"**{escape_markdown(ground_truth.name)}**: {describe_dataset(ground_truth)}."
    )
    render_notes(state.dataset.notes)
    return render_scoring(state, state.dataset, set_key=state.set_key)


def _render_class_mapping(state: TuneState) -> None:
    """Show the form that maps the class names of the dataset to ours."""
    mapping = ClassNames(state.class_mapping)
    unknown = [
        class_name
        for class_name in state.class_name_counts
        if not mapping.target(class_name)
    ]
    class_names = sorted(
        state.class_name_counts,
        key=lambda class_name: (class_name not in unknown, class_name),
    )
    title = f"Classes of this dataset: {len(class_names)}"
    style = session.get_preferences().style
    titles = {
        **{label.key: style.title(label) for label in CLASSES},
        IGNORE: "Ignore this face",
        NO_FACE: "Not a face",
    }
    with st.expander(
        f"{title}, {len(unknown)} unknown" if unknown else title,
        expanded=bool(unknown),
        icon=":material/label:",
    ):
        st.caption("Map each class name to a class. In brackets: the number of faces.")
        with st.form("tune.classes", border=False):
            for start in range(0, len(class_names[:_MAX_CLASS_NAMES]), 3):
                for column, class_name in zip(
                    st.columns(3), class_names[start : start + 3], strict=False
                ):
                    column.selectbox(
                        f"{escape_markdown(shorten_name(class_name))} "
                        f"({state.class_name_counts[class_name]:,})",
                        CLASS_TARGETS,
                        CLASS_TARGETS.index(mapping.target(class_name) or IGNORE),
                        format_func=titles.__getitem__,
                        key=_class_name_key(state, class_name),
                    )
            st.form_submit_button(
                "Import with these classes",
                icon=":material/refresh:",
                on_click=_apply_class_mapping,
                args=(state, class_names[:_MAX_CLASS_NAMES]),
            )


def _class_name_key(state: TuneState, class_name: str) -> str:
    return f"tune.class.{state.set_key}.{class_name}"


def _apply_class_mapping(state: TuneState, class_names: Sequence[str]) -> None:
    state.class_mapping = {
        class_name: st.session_state[_class_name_key(state, class_name)]
        for class_name in class_names
    }
    state.needs_reload = True


def _reset_upload(state: TuneState) -> None:
    """Discard the dataset and its images; a visitor has one at a time.

    Uploaded predictions are kept for a comparison until the visitor removes them.
    """
    if st.session_state.get(_ZIP_KEY) is None:
        state.drop_uploaded_scores()
    _discard_import(state)
    state.archive, state.class_mapping = ("", b""), {}
    state.detection_cache.clear()
    state.upload_keys.clear()


def _discard_import(state: TuneState) -> None:
    """Discard the imported dataset, but keep the upload and cached detections."""
    if state.set_key:
        state.drop_set(state.set_key)
    state.set_key, state.dataset, state.import_error = "", None, ""
    state.class_name_counts = {}
    state.running, state.scoring_error, state.n_scored = "", "", 0


def _load_uploaded_scores(state: TuneState, file: UploadedFile) -> TuningSet | None:
    ids = _file_ids([file])
    if ids not in state.upload_keys:
        state.upload_keys[ids] = hashlib.sha256(file.getvalue()).hexdigest()
    name = state.upload_keys[ids]
    if name not in state.tuning_sets:
        try:
            evaluator = Evaluator(
                decode_predictions(file.getvalue(), shorten_name(file.name))
            )
        except ValueError as error:
            st.error(escape_markdown(f"{error}."), icon=":material/broken_image:")
            return None
        state.add_uploaded_scores(name, TuningSet(evaluator))
    tuning_set = state.tuning_sets[name]
    predictions = tuning_set.predictions
    title = _predictions_title(predictions.analyzer, predictions.ground_truth.name)
    st.caption(
        f"{escape_markdown(title)}: {describe_dataset(predictions.ground_truth)}."
    )
    return tuning_set


def _receive_upload(
    state: TuneState, files: Sequence[UploadedFile], *, zipped: bool
) -> None:
    """Store an uploaded zip or folder, and import it."""
    _reset_upload(state)
    name = files[0].name
    name = name.rsplit(".", 1)[0] if zipped else name.partition("/")[0]
    try:
        state.archive = name, files[0].getvalue() if zipped else _zip_files(files)
        _import_dataset(state)
    except ValueError as error:
        state.import_error = f"{shorten_name(name)}: {error}"
    state.upload_keys[_file_ids(files)] = state.set_key


def _import_dataset(state: TuneState) -> None:
    """Import the dataset with the chosen classes; store an error as one line."""
    _discard_import(state)
    name, content = state.archive
    key = hashlib.sha256(content)
    key.update(
        repr(sorted(state.class_mapping.items())).encode("utf-8", "backslashreplace")
    )
    state.set_key = key.hexdigest()
    bar = st.progress(0.0, "Reading the dataset …")

    def progress(done: int, total: int) -> None:
        bar.progress(done / max(1, total), f"Reading image {done} of {total} …")

    try:
        dataset = import_dataset(
            content,
            shorten_name(name),
            classes=ClassNames(state.class_mapping),
            progress=progress,
        )
        check_limits(dataset.ground_truth)
        state.dataset, state.class_name_counts = dataset, dataset.class_word_counts
    except (ValueError, FileNotFoundError) as error:
        state.import_error = f"{shorten_name(name)}: {error}"
        state.class_name_counts = (
            error.name_counts if isinstance(error, ClassesError) else {}
        )
    bar.empty()


def _zip_files(files: Sequence[UploadedFile]) -> bytes:
    """Pack the files of an uploaded folder into one zip.

    Raises:
        ValueError: the files together are larger than `MAX_ZIP_MB`.
    """
    if sum(file.size for file in files) > MAX_ZIP_MB * 2**20:
        raise ValueError(
            f"the folder is larger than {MAX_ZIP_MB} MB; upload fewer images"
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.writestr(file.name, file.getvalue())
    return content.getvalue()
