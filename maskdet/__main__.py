"""Entry point of `python -m maskdet`, the same as the command `maskdet`."""

from __future__ import annotations

import sys

from maskdet.cli import main

if __name__ == "__main__":
    sys.exit(main())
