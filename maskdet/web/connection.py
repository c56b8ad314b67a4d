"""Whether a started stream found its way, and whether it can at all."""

from __future__ import annotations

from urllib.parse import urlsplit

PATIENCE_S = 10.0
"""A stream that will connect did so within 7 s in every case that was measured,
even with a STUN server that never answers."""


class Connection:
    """How long a started stream has been without a connection.

    Attributes:
        late: whether one took longer than `PATIENCE_S`, until one connects.
    """

    def __init__(self) -> None:
        """Start with nothing to wait for."""
        self.late = False
        self._since_s: float | None = None

    def update(self, *, playing: bool, signalling: bool, now_s: float) -> bool:
        """Take in the state of the stream; return `late`.

        A browser that gives up falls back to neither playing nor signalling. Then
        `late` stays as it is, so that the reason can still be read.

        Args:
            playing: the connection stands.
            signalling: Start was pressed and the two sides look for each other.
            now_s: seconds that never go back.
        """
        if playing:
            self.late = False
        if playing or not signalling:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s >= PATIENCE_S:
            self.late = True
        return self.late


def camera_allowed(page_url: str) -> bool:
    """Return whether browsers give a page at this address a camera at all.

    They do over HTTPS and on the machine itself ("secure contexts", W3C). An address
    that is not known counts as allowed.
    """
    parts = urlsplit(page_url)
    host = parts.hostname or ""
    local = host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")
    return parts.scheme != "http" or local
