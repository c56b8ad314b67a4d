"""Analyzers: single-stage networks, two-stage pipelines and tiles."""
