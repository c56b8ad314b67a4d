"""Live page: the camera's video, analyzed in real time."""

from __future__ import annotations

from maskdet.web.live.page import render_live_page
from maskdet.web.server.navigation import require_app_entry

require_app_entry()
render_live_page()
