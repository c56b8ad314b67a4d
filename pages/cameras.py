"""Cameras page: the network cameras of this server, side by side."""

from __future__ import annotations

from maskdet.web.cameras.page import render_cameras_page
from maskdet.web.server.navigation import require_app_entry

require_app_entry()
render_cameras_page()
