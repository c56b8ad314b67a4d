"""Training of the mask classifier."""
