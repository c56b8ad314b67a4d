"""Metrics of face detection and classification, with confidence intervals."""
