"""Threshold tuning on a labelled set: metrics, curves, goals and reports."""
