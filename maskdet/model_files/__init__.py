"""Model files: the list with checksums and downloads, LiteRT, models of the user."""
