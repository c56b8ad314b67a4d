"""A photo from the camera, for visitors whose browser cannot send live video."""

from __future__ import annotations

import streamlit as st

from maskdet.analyzers.pipelines import resolve_analyzer
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.image.cache import ImageCache, render_result_preview
from maskdet.web.image.results import ImageResult
from maskdet.web.server.uploads import MAX_IMAGE_MB, reject_large_files
from maskdet.web.widgets import escape_markdown, scene_cards_html


def render_photo(preferences: Preferences, *, timed_out: bool) -> None:
    """Offer a photo from the camera, which does not need WebRTC.

    Args:
        preferences: of this visitor.
        timed_out: whether live video is not possible.
    """
    expander = st.expander(
        "Camera not working? Take a photo instead",
        # The second key opens it after a timeout, even if it was closed before.
        expanded=timed_out,
        key="snapshot.late" if timed_out else "snapshot.early",
        icon=":material/photo_camera:",
        on_change="rerun",
    )
    # Request the camera only if it is open: live video may be using the camera.
    if expander.open:
        with expander:
            _analyze_photo(preferences)


def _analyze_photo(preferences: Preferences) -> None:
    photo = st.camera_input(
        "Take a photo",
        resolution="720p",
        key="snapshot.photo",
        label_visibility="collapsed",
    )
    if photo is None or not reject_large_files([photo], MAX_IMAGE_MB):
        return
    cache: ImageCache = st.session_state.setdefault(
        session.IMAGE_CACHE_KEY, ImageCache()
    )
    source = cache.add_file(photo.name, photo.getvalue(), file_id=photo.file_id)
    # Use the accurate analyzer of the Image page, as one image may take longer.
    name = resolve_analyzer(preferences.analyzer, live=False)
    analyzer, settings = session.get_analyzer(name), preferences.settings
    analyzed = cache.get_or_analyze(
        source, analyzer, analyzer_name=name, settings=settings
    )
    if analyzed.error:
        st.error(escape_markdown(f"{analyzed.error}."), icon=":material/error:")
        return
    result, style = ImageResult(source, analyzed, settings), preferences.style
    view = cache.get_view(source, analyzed, blur=style.blur)
    st.image(render_result_preview(view, analyzed, settings, style))
    crops = result.select_crops(view)
    if crops:
        st.html(scene_cards_html(result.scene, crops, style))
    else:
        st.info("No face detected. Move closer, with light on your face.")
