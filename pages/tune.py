"""Tune: choose data, move sliders or set a goal, apply the settings."""

from __future__ import annotations

from maskdet.web.server.navigation import require_app_entry
from maskdet.web.tune.page import render_tune_page

require_app_entry()
render_tune_page()
