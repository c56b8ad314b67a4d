"""Which tab of a browser a session is in: a page that is reloaded begins a new one."""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

TAB_KEY: Final = "maskdet.tab"
"""Under this key the browser tells it."""

# The tab keeps this number until it is closed, and tells nobody else.
_TAB_JS: Final = """
export default function ({ data, setStateValue }) {
  let tab = "";
  try {
    tab = sessionStorage.getItem("maskdet.tab") || "";
    if (!tab) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      tab = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
      sessionStorage.setItem("maskdet.tab", tab);
    }
  } catch {
    return;  // a browser that keeps nothing: a reload finds nothing again
  }
  if (tab !== data) setStateValue("tab", tab);
}
"""
_tab_component = st.components.v2.component(TAB_KEY, js=_TAB_JS)


def get_tab_id() -> str:
    """Return a secret number of this visitor's tab, the same after a reload.

    Call it once a run. It is empty in the first run of a session, and where the browser
    keeps nothing; the browser runs the page again when it tells it.
    """
    stored = (st.session_state.get(TAB_KEY) or {}).get("tab")
    tab_id = (
        stored
        if isinstance(stored, str) and re.fullmatch("[0-9a-f]{32}", stored)
        else ""
    )
    _tab_component(
        key=TAB_KEY,
        data=tab_id,
        default={"tab": ""},
        on_tab_change=lambda: None,
        width="content",
        height="content",
    )
    return tab_id
