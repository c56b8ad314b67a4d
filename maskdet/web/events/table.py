"""What the tables of events and of alerts on the Events page have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Literal

import pandas as pd
import streamlit as st

from maskdet.events.event import Event
from maskdet.types import UNTRACKED


def get_local_time(event: Event, zone: tzinfo) -> datetime:
    """Return the time of an event for the column Time, which has no time zone."""
    return event.at.astimezone(zone).replace(tzinfo=None)


def get_person(event: Event) -> int | None:
    """Return the person of an event for the column Person; `None` without one."""
    return None if event.person == UNTRACKED else event.person


def render_event_table(
    rows: Sequence[Mapping[str, object]],
    *,
    title: str,
    columns: Mapping[str, Any] | None = None,
    height: int | Literal["auto", "content"] = "auto",
) -> None:
    """Render a table.

    Args:
        rows: have the columns Time and Person, and others.
        title: name of the table for screen readers.
        columns: configuration of further columns.
        height: see `st.dataframe`.
    """
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "Time": st.column_config.DatetimeColumn(
                format="YYYY-MM-DD HH:mm:ss", width=150, pinned=True
            ),
            "Person": st.column_config.NumberColumn(format="%d", width=70),
            **(columns or {}),
        },
        height=height,
        placeholder="\N{EN DASH}",
        alt=title,
    )
