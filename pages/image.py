"""Image: pictures from files, from the camera or from our samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from maskdet.analyzer import resolved
from maskdet.media import FORMATS, MAX_JPEG_PIXELS, MAX_PIXELS
from maskdet.tiles import Tiled, Tiling
from maskdet.web import results, session
from maskdet.web.cards import cards_html, totals_html
from maskdet.web.downloads import downloads
from maskdet.web.entry import through_app
from maskdet.web.pictures import (
    MAX_PICTURES,
    Album,
    Source,
    original_preview,
    result_preview,
)
from maskdet.web.preferences import Preferences
from maskdet.web.results import Result
from maskdet.web.samples import SAMPLES, Sample
from maskdet.web.uploads import MAX_PICTURE_MB, keep_within

# Cards shown at once; a crowd's other faces come when asked for.
_FIRST_CARDS = 24


def page() -> None:
    """Show the page."""
    st.title("Image")
    st.markdown("See who wears a mask in your pictures.")
    preferences = session.preferences()
    album: Album = st.session_state.setdefault("maskdet.album", Album())
    sources = _sources(album)
    if not sources:
        return
    tiles = _tiles()
    found = _results(album, sources, preferences, tiles=tiles)
    _broken([result for result in found if result.picture.error])
    readable = [result for result in found if not result.picture.error]
    if not readable:
        return
    if len(found) > 1:
        _overview(readable, preferences)
    chosen = _chosen(readable)
    _picture(chosen, preferences, tiles=tiles)
    _downloads(chosen, found, preferences)
    _faces(chosen, preferences)


def _sources(album: Album) -> list[Source]:
    """Return the pictures to look at; a sample while no file is given."""
    where = st.segmented_control(
        "Where the pictures come from",
        ("Files", "Camera", "Samples"),
        default="Files",
        required=True,
        label_visibility="collapsed",
        key="image.where",
        persist_state="session",
    )
    if where == "Samples":
        by_title = {sample.title: sample for sample in SAMPLES}
        title = st.pills(
            "Sample", list(by_title), default=SAMPLES[0].title, required=True
        )
        return [_sample(album, by_title[title])]
    if where == "Camera":
        photo = st.camera_input(
            "Take a picture", resolution="720p", width=560, key="image.photo"
        )
        files = keep_within([photo] if photo else [], MAX_PICTURE_MB)
    else:
        files = _uploads()
        if not files:
            st.info(
                "This is a sample with drawn masks. Add your own pictures above.",
                icon=":material/image:",
            )
            return [_sample(album, SAMPLES[0])]
    return [
        album.source(file.name, file.getvalue(), file_id=file.file_id) for file in files
    ]


def _sample(album: Album, sample: Sample) -> Source:
    st.caption(f"Picture: {sample.credit}.")
    path = sample.path
    return album.source(path.name, path.read_bytes(), file_id=str(path))


def _uploads() -> list[UploadedFile]:
    files = st.file_uploader(
        "Pictures from this device",
        # No `type`: a browser would refuse by name what the content decides.
        accept_multiple_files=True,
        max_upload_size=MAX_PICTURE_MB,
        key="image.files",
        help="They are looked at in memory, never written to a disk, and gone soon "
        "after you close this page.",
    )
    st.caption(
        f"{FORMATS}: at most {MAX_PICTURES} images at once, each up to "
        f"{MAX_PICTURE_MB} MB and {MAX_PIXELS / 1e6:g} megapixels (JPEG: "
        f"{MAX_JPEG_PIXELS / 1e6:g}). Nothing is saved."
    )
    files = keep_within(files, MAX_PICTURE_MB)
    if len(files) > MAX_PICTURES:
        st.warning(
            f"{len(files)} files are too many at once: only the first {MAX_PICTURES} "
            "are looked at. Remove some to see the others.",
            icon=":material/warning:",
        )
    return files[:MAX_PICTURES]


def _tiles() -> bool:
    """Return whether to look at parts of the pictures too."""
    return st.toggle(
        results.TILES,
        key="image.tiles",
        persist_state="session",
        help="For large pictures of people far away, as from a camera high on a wall: "
        f"each part of {Tiling.side_px} pixels is also looked at on its own, which "
        "finds smaller faces. A picture of many parts takes as many times as long.",
    )


def _results(
    album: Album, sources: Sequence[Source], preferences: Preferences, *, tiles: bool
) -> list[Result]:
    """Return what is in the pictures; only new ones go through the networks."""
    settings = preferences.settings
    name = resolved(preferences.analyzer, live=False)
    analyzer = session.analyzer(name)
    if tiles:
        # What is known without tiles stays known beside it.
        name, analyzer = f"{name} in tiles", Tiled(analyzer)
    known = all(album.knows(source, name, settings) for source in sources)
    bar = st.empty() if known else st.progress(0.0, "Looking ...")
    found: list[Result] = []
    for number, source in enumerate(sources, start=1):
        if not known:
            text = f"Looking at picture {number} of {len(sources)} ..."
            bar.progress((number - 1) / len(sources), text)
        picture = album.picture(source, analyzer, name=name, settings=settings)
        found.append(Result(source, picture, settings))
    bar.empty()
    return found


def _broken(failed: Sequence[Result]) -> None:
    for result in failed:
        name = results.as_code(result.source.name)
        st.error(f"{name}: {result.picture.error}.", icon=":material/broken_image:")


def _overview(readable: Sequence[Result], preferences: Preferences) -> None:
    """Show the totals over all pictures, and what is in each."""
    total = results.totals(readable)
    st.html(totals_html(total, preferences.style))
    with st.expander("Every picture in numbers", icon=":material/table_rows:"):
        st.dataframe(
            results.picture_table(readable, preferences.style), hide_index=True
        )


def _chosen(readable: Sequence[Result]) -> Result:
    """Return the picture to show, which the visitor chooses if there are several."""
    if len(readable) == 1:
        return readable[0]
    names = [results.short_name(result.source.name) for result in readable]
    number = st.selectbox(
        "Picture",
        range(len(readable)),
        format_func=lambda number: f"{number + 1} of {len(names)}: {names[number]}",
    )
    return readable[number]


def _picture(result: Result, preferences: Preferences, *, tiles: bool) -> None:
    """Show the picture as it was beside the picture with its faces drawn."""
    scene, picture = result.scene, result.picture
    before, after = st.columns(2)
    settings, style = result.settings, preferences.style
    original = original_preview(picture, settings, style)
    before.image(original, "Original", alt="The original picture")
    drawn = result_preview(picture, settings, style)
    summary = results.summary(scene, style)
    after.image(drawn, f"Result: {summary}", alt=f"The result: {summary}")
    if not len(scene):
        tips = results.advice(picture, settings, tiles=tiles)
        lines = "\n".join(f"- {tip}" for tip in tips)
        st.warning(f"**No face found.** What you can try:\n{lines}")


def _downloads(
    chosen: Result, found: Sequence[Result], preferences: Preferences
) -> None:
    """Offer the results as files; the large ones are only made when asked for."""
    stem = results.file_stem(chosen.source.name)
    style = preferences.style
    files = [
        (
            "Marked picture (PNG)",
            partial(results.marked_png, chosen, style),
            f"{stem}-marked.png",
            "image/png",
        ),
        ("JSON", results.json_text([chosen]), f"{stem}.json", "application/json"),
        ("CSV", results.csv_text([chosen]), f"{stem}.csv", "text/csv"),
    ]
    if len(found) > 1:
        archive = partial(results.everything_zip, found, style)
        title = f"All {len(found)} (zip)"
        files.append((title, archive, "maskdet-results.zip", "application/zip"))
    downloads(files)


def _faces(result: Result, preferences: Preferences) -> None:
    """Show the table of faces, and each face with its three probabilities."""
    scene = result.scene
    if not len(scene):
        return
    st.subheader("Faces")
    percent = partial(st.column_config.NumberColumn, format="%.0f %%", width="small")
    st.dataframe(
        results.face_table(scene, preferences.style),
        hide_index=True,
        column_config={
            "Face": st.column_config.NumberColumn(width=50),
            "Confidence": percent(
                help="How sure the classifier is of its likeliest label."
            ),
            "Face score": percent(help="How sure the finder is that this is a face."),
            "Size (px)": st.column_config.TextColumn(width="small"),
        },
        alt="Table of the faces: number, label, confidence, face score, size",
    )
    crops = result.crops(preferences.style)
    if len(crops) > _FIRST_CARDS and not st.toggle(f"Show all {len(crops)} faces"):
        crops = crops[:_FIRST_CARDS]
    st.html(cards_html(scene, crops, preferences.style))


through_app()
page()
