"""Image page: images from files, from the camera or from the samples."""

from __future__ import annotations

from maskdet.web.image.page import render_image_page
from maskdet.web.server.navigation import require_app_entry

require_app_entry()
render_image_page()
