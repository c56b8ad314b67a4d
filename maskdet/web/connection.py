"""How a live stream does: connecting, playing, broken off, or connecting again."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

PATIENCE_S: Final = 10.0
"""A stream that will connect did so within 7 s in every case that was measured,
even with a STUN server that never answers."""

WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Before each attempt to connect again; after the last one the visitor decides."""

STABLE_S: Final = 10.0
"""A stream that plays for so long has recovered, and the attempts count anew."""

SILENT_S: Final = 10.0
"""A stream that plays without a frame for so long is dead: streamlit-webrtc leaves it
like that after an error, with the last picture standing."""

_ASK_S: Final = 3.0
"""A browser that is asked to start and can does so in less."""

Phase: TypeAlias = Literal[
    "idle", "connecting", "playing", "lost", "asking", "stopping", "ended", "given up"
]

_RECONNECTING: Final = ("lost", "asking", "stopping")


class Connection:
    """What became of a stream since Start, and what to do about it.

    Attributes:
        phase: `idle` before Start and after Stop; `connecting`; `playing`; `lost`, it
            broke off and waits for the next attempt; `asking`, the browser is asked to
            start; `stopping`, the browser is asked to stop; `ended`, perhaps by the
            visitor; `given up`, after the last attempt.
        attempt: which attempt to connect again this is, from 1 on; 0 without.
        late: whether connecting took longer than `PATIENCE_S`, until one connects.
        hidden: whether the streamer must not be shown, so that it begins anew.
        full: whether it is not shown because all places are taken.
    """

    def __init__(self) -> None:
        """Start before Start."""
        self.phase: Phase = "idle"
        self.attempt = 0
        self.late = self.hidden = self.full = False
        self._since_s = 0.0

    @property
    def shown(self) -> bool:
        """Whether the browser shows the streamer."""
        return not (self.hidden or self.full)

    @property
    def desired(self) -> bool | None:
        """What the browser is told: to start, to stop, or to obey its buttons."""
        return {"asking": True, "stopping": False}.get(self.phase)

    @property
    def busy(self) -> bool:
        """Whether time alone changes something, so that `update` must be called."""
        return self.hidden or self.phase in ("connecting", "playing", *_RECONNECTING)

    @property
    def reconnecting(self) -> bool:
        """Whether a stream that broke off is about to go on."""
        return self.phase in _RECONNECTING or (
            self.phase == "connecting" and self.attempt > 0
        )

    def update(
        self,
        *,
        playing: bool,
        signalling: bool,
        pressed: str,
        frame_s: float,
        now_s: float,
    ) -> bool:
        """Take in the state of the stream; return whether something changed.

        Nothing starts a camera again after its visitor has pressed Stop, nor where it
        is not known what was pressed.

        Args:
            playing: the connection stands.
            signalling: the two sides look for each other.
            pressed: the streamer's button that the visitor pressed last, "Start" or
                "Stop"; empty if that is not known.
            frame_s: when the last frame came, on the clock of `now_s`.
            now_s: seconds that never go back.
        """
        before = self._shown()
        if playing:
            self._play(frame_s, now_s)
        elif signalling:
            self._connect(now_s)
        elif not (self.hidden and now_s < self._since_s):
            self._rest(pressed, now_s)
        return before != self._shown()

    def fail(self, now_s: float) -> None:
        """Note that the server could not take the stream; its streamer begins anew."""
        self._lose(now_s)
        self.hidden = True
        self._since_s = max(self._since_s, now_s + WAITS_S[0])

    def cancel(self) -> None:
        """Give up connecting again."""
        self.phase, self.attempt, self.hidden = "idle", 0, False

    def _shown(self) -> tuple[object, ...]:
        return self.phase, self.attempt, self.late, self.hidden

    def _play(self, frame_s: float, now_s: float) -> None:
        self.late = self.hidden = False
        if self.phase == "stopping":
            return
        if self.phase != "playing":
            self.phase, self._since_s = "playing", now_s
        if now_s - self._since_s >= STABLE_S:
            self.attempt = 0
        if now_s - max(self._since_s, frame_s) >= SILENT_S:
            self.phase = "stopping"

    def _connect(self, now_s: float) -> None:
        self.hidden = False
        if self.phase == "stopping":
            return
        if self.phase != "connecting":
            if self.phase not in ("lost", "asking"):
                self.attempt = 0
            self.phase, self._since_s = "connecting", now_s
        waited_s = now_s - self._since_s
        self.late = self.late or waited_s >= PATIENCE_S
        if self.attempt and waited_s >= 2 * PATIENCE_S:
            self.phase = "stopping"

    def _rest(self, pressed: str, now_s: float) -> None:
        self.hidden = self.hidden and self.phase == "lost"
        if pressed != "Start":
            if self.phase != "ended":
                unasked = self.phase in ("playing", *_RECONNECTING) and not pressed
                self.cancel()
                self.phase = "ended" if unasked else "idle"
        elif self.phase in ("connecting", "playing", "stopping"):
            self._lose(now_s)
        elif self.phase == "lost" and now_s >= self._since_s:
            self.phase, self.hidden, self._since_s = "asking", False, now_s
        elif self.phase == "asking" and now_s - self._since_s >= _ASK_S:
            self._lose(now_s)

    def _lose(self, now_s: float) -> None:
        self.attempt += 1
        if self.attempt > len(WAITS_S):
            self.phase, self.attempt = "given up", 0
        else:
            self.phase = "lost"
            self._since_s = now_s + WAITS_S[self.attempt - 1]


def camera_allowed(page_url: str) -> bool:
    """Return whether browsers give a page at this address a camera at all.

    They do over HTTPS and on the machine itself ("secure contexts", W3C). An address
    that is not known counts as allowed.
    """
    parts = urlsplit(page_url)
    host = parts.hostname or ""
    local = host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")
    return parts.scheme != "http" or local
