"""Video page: upload a video, analyze it and view the result."""

from __future__ import annotations

from maskdet.web.server.navigation import require_app_entry
from maskdet.web.video.page import render_video_page

require_app_entry()
render_video_page()
