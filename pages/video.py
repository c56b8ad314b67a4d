"""Video: a video, looked at from its first image to its last."""

from __future__ import annotations

from maskdet.web.server.navigation import require_app_entry
from maskdet.web.video.page import render_video_page

require_app_entry()
render_video_page()
