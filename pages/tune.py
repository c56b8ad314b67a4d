"""Tune: choose data, move a slider, see what it costs; or ask for a goal."""

from __future__ import annotations

from maskdet.web.server.navigation import require_app_entry
from maskdet.web.tune.page import render_tune_page

require_app_entry()
render_tune_page()
