"""Training of the single-stage network, which detects and classifies faces."""
