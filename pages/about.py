"""About page: features, limitations, privacy, models and licences."""

from __future__ import annotations

from maskdet.web.about import render_about_page
from maskdet.web.server.navigation import require_app_entry

require_app_entry()
render_about_page()
