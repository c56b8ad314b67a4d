"""Look of all pages beyond what `.streamlit/config.toml` can set: logo and CSS."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

_CSS = """<style>
/* Streamlit leaves 96 px free above each page. */
[data-testid=stMainBlockContainer] {padding-top: 3.25rem; padding-bottom: 3rem;}
[data-testid=stHeading] h2 {font-size: 1.5rem;}
@media (max-width: 1400px) {
  [data-testid=stMainBlockContainer] {padding-left: 2.5rem; padding-right: 2.5rem;}}
/* Beside the sidebar there is no room for two columns. */
@media (max-width: 1100px) {
  [data-testid=stMainBlockContainer] {padding-left: 1.5rem; padding-right: 1.5rem;}
  .st-key-page_columns > * > [data-testid=stHorizontalBlock] {flex-wrap: wrap;}
  .st-key-page_columns > * > * > [data-testid=stColumn] {min-width: 100%;}}
/* White on the accent of the dark theme has a contrast of only 2.3:1. */
[data-testid=stBaseButton-primary]:enabled,
[data-testid=stBaseButton-primary]:enabled * {
  color: light-dark(#fff, #10141e) !important;}
</style>"""


def make_page_columns(widths: Sequence[int]) -> list[DeltaGenerator]:
    """Return the columns of a page, which stack where the window is narrow."""
    with st.container(key="page_columns"):
        return st.columns(widths, gap="medium")


def is_dark_theme() -> bool:
    """Return whether the page of this visitor is dark."""
    return bool(st.context.theme.type == "dark")


def render_theme() -> None:
    """Render logo and CSS; call it once in each run, before the page."""
    folder = files("maskdet.web")
    # Beside the closed sidebar of a phone there is no room for the name.
    icon = str(folder / "logo-icon.svg")
    st.logo(str(folder / "logo.svg"), size="large", icon_image=icon)
    st.html(_CSS)
