"""The Image page: images from files, from the camera or from the samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from maskdet.analyzers.pipelines import resolve_analyzer
from maskdet.analyzers.tiles import TiledAnalyzer, Tiling
from maskdet.media import IMAGE_FORMATS, MAX_JPEG_PIXELS, MAX_PIXELS
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.image import results, uploads
from maskdet.web.image.cache import (
    MAX_IMAGES,
    ImageCache,
    ImageView,
    SourceImage,
)
from maskdet.web.image.overlay import render_overlay
from maskdet.web.image.results import ImageResult
from maskdet.web.image.thumbnails import render_thumbnails
from maskdet.web.server.uploads import MAX_IMAGE_MB
from maskdet.web.widgets import (
    IMAGE_SAMPLES,
    Download,
    Sample,
    image_totals_html,
    render_downloads,
)

_ORIGIN_KEY = "image.origin"
_SAMPLE_KEY = "image.sample"


def render_image_page() -> None:
    """Render the page."""
    st.title("Image")
    st.markdown("See who wears a mask in your images.")
    preferences = session.get_preferences()
    cache: ImageCache = st.session_state.setdefault(
        session.IMAGE_CACHE_KEY, ImageCache()
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        origin = _select_origin()
        tiles = _toggle_tiles()
    sources = _select_images(cache, origin)
    if not sources:
        return
    image_results = _analyze_images(cache, sources, preferences, tiles=tiles)
    selected = image_results[0]
    if origin != "Samples" and uploads.get_uploads():
        if len(image_results) > 1:
            _render_overview(image_results, preferences)
        selected = _select_result(image_results, preferences)
    _render_read_errors([result for result in image_results if result.analyzed.error])
    if selected.analyzed.error:
        return
    view = cache.get_view(
        selected.source, selected.analyzed, blur=preferences.style.blur
    )
    _render_image(selected, view, preferences, tiles=tiles)
    _render_image_downloads(selected, image_results, preferences)


def choose_sample(title: str) -> None:
    """Have the page show a sample; call it before the page runs.

    Args:
        title: of one of `IMAGE_SAMPLES`.
    """
    st.session_state[_ORIGIN_KEY], st.session_state[_SAMPLE_KEY] = "Samples", title


def _select_origin() -> str:
    """Render the choice of where images come from; return its value."""
    return st.segmented_control(
        "Source of the images",
        ("Files", "Camera", "Samples"),
        default="Files",
        required=True,
        label_visibility="collapsed",
        key=_ORIGIN_KEY,
        persist_state="session",
    )


def _select_images(cache: ImageCache, origin: str) -> list[SourceImage]:
    """Return the images to analyze; a sample if no file was uploaded."""
    if origin == "Samples":
        by_title = {sample.title: sample for sample in IMAGE_SAMPLES}
        title = st.pills(
            "Sample",
            list(by_title),
            default=IMAGE_SAMPLES[0].title,
            required=True,
            key=_SAMPLE_KEY,
        )
        return [_load_sample(cache, by_title[title])]
    if origin == "Camera":
        _take_photo(cache)
    else:
        _upload_images(cache)
    for note in uploads.get_upload_notes():
        st.error(note, icon=":material/block:")
    kept = uploads.get_uploads()
    if not kept and origin == "Files":
        return [_load_sample(cache, IMAGE_SAMPLES[0])]
    return [upload.source for upload in kept]


def _load_sample(cache: ImageCache, sample: Sample) -> SourceImage:
    st.caption(f"Sample image: {sample.credit}.")
    path = sample.path
    return cache.add_file(path.name, path.read_bytes(), file_id=str(path))


def _upload_images(cache: ImageCache) -> None:
    key = uploads.get_widget_key("files")
    st.file_uploader(
        f"Drop images here, or a zip of up to {MAX_IMAGES}; they are never saved",
        # No `type`: the browser would filter by file name; the content decides.
        accept_multiple_files=True,
        max_upload_size=uploads.MAX_ZIP_MB,
        key=key,
        help=f"{IMAGE_FORMATS}; up to {MAX_IMAGE_MB} MB and {MAX_PIXELS / 1e6:g} "
        f"megapixels each (JPEG: {MAX_JPEG_PIXELS / 1e6:g}). Images are analyzed in "
        "memory, never written to disk, and deleted soon after you close this page.",
        on_change=uploads.keep_uploads,
        args=(key, cache),
    )


def _take_photo(cache: ImageCache) -> None:
    key = uploads.get_widget_key("photo")
    st.camera_input(
        "Take a photo",
        resolution="720p",
        width=560,
        key=key,
        on_change=uploads.keep_uploads,
        args=(key, cache),
    )


def _toggle_tiles() -> bool:
    """Render the toggle of tiled analysis; return its value."""
    return st.toggle(
        results.TILES_TITLE,
        key="image.tiles",
        persist_state="session",
        help="For large images with distant people: tiles of "
        f"{Tiling.side_px} px are also analyzed separately, which finds smaller faces. "
        "The time is proportional to the number of tiles.",
    )


def _analyze_images(
    cache: ImageCache,
    sources: Sequence[SourceImage],
    preferences: Preferences,
    *,
    tiles: bool,
) -> list[ImageResult]:
    """Return the results of all images; only new ones need inference."""
    settings = preferences.settings
    name = resolve_analyzer(preferences.analyzer, live=False)
    analyzer = session.get_analyzer(name)
    if tiles:
        # Tiled results are cached separately from those without tiles.
        name, analyzer = f"{name} in tiles", TiledAnalyzer(analyzer)
    is_cached = all(cache.has_analysis(source, name, settings) for source in sources)
    bar = st.empty() if is_cached else st.progress(0.0, "Analyzing ...")
    image_results: list[ImageResult] = []
    for number, source in enumerate(sources, start=1):
        if not is_cached:
            text = f"Analyzing image {number} of {len(sources)} ..."
            bar.progress((number - 1) / len(sources), text)
        analyzed = cache.get_or_analyze(
            source, analyzer, analyzer_name=name, settings=settings
        )
        image_results.append(ImageResult(source, analyzed, settings))
    bar.empty()
    return image_results


def _render_read_errors(unreadable: Sequence[ImageResult]) -> None:
    """Render one line for each image that could not be read."""
    lines = [
        f"{results.to_code_markdown(result.source.name)}: {result.analyzed.error}."
        for result in unreadable
    ]
    if lines:
        st.error("\n\n".join(lines), icon=":material/broken_image:")


def _render_overview(
    image_results: Sequence[ImageResult], preferences: Preferences
) -> None:
    """Render the totals over all images."""
    image_totals = results.compute_totals(image_results)
    st.html(image_totals_html(image_totals, preferences.style))


def _select_result(
    image_results: Sequence[ImageResult], preferences: Preferences
) -> ImageResult:
    """Render the thumbnails; return the image that the visitor selected."""
    selected = uploads.get_selected_index(len(image_results))
    render_thumbnails(
        image_results,
        selected,
        preferences.style,
        on_open=uploads.select_upload,
        on_remove=uploads.remove_upload,
        on_clear=uploads.clear_uploads,
    )
    return image_results[selected]


def _render_image(
    result: ImageResult, view: ImageView, preferences: Preferences, *, tiles: bool
) -> None:
    """Render the image with its faces, or tips if none was found."""
    render_overlay(result, view, preferences.style)
    if not len(result.scene):
        tips = results.suggest_changes(result.analyzed, result.settings, tiles=tiles)
        lines = "\n".join(f"- {tip}" for tip in tips)
        st.warning(f"**No face detected.** What you can try:\n{lines}")


def _render_image_downloads(
    selected: ImageResult,
    image_results: Sequence[ImageResult],
    preferences: Preferences,
) -> None:
    """Render the download buttons; large files are only made on a click."""
    stem = results.to_file_stem(selected.source.name)
    style = preferences.style
    files: list[Download] = [
        (
            "Annotated image (PNG)",
            partial(results.annotated_png, selected, style),
            f"{stem}-annotated.png",
            "image/png",
        ),
        ("JSON", results.results_json([selected]), f"{stem}.json", "application/json"),
        ("CSV", results.results_csv([selected]), f"{stem}.csv", "text/csv"),
    ]
    if len(image_results) > 1:
        archive = partial(results.build_results_zip, image_results, style)
        files.append(
            ("Download all (ZIP)", archive, "maskdet-results.zip", "application/zip")
        )
    render_downloads(files)
