"""The Events page, its recording and its alerts."""
