"""Network cameras: one analysis of each, however many visitors watch it."""
