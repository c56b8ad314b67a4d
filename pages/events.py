"""Events page: recorded events, and the settings of recording and alerts."""

from __future__ import annotations

from maskdet.web.events.page import render_events_page
from maskdet.web.server.navigation import require_app_entry

require_app_entry()
render_events_page()
