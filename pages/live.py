"""Live: the camera's picture, analysed while it runs."""

from __future__ import annotations

import streamlit as st

st.title("Live")
