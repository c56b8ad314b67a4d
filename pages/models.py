"""Models: compare analyzers and classifiers, and choose one."""

from __future__ import annotations

from maskdet.web.models.page import render_models_page
from maskdet.web.server.navigation import require_app_entry

require_app_entry()
render_models_page()
