"""New alerts for a page: taken once by the page, and a sound made here."""

from __future__ import annotations

import io
import math
import struct
import threading
import time
import wave
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from maskdet.events.event import Event

_RATE_HZ: Final = 16_000
_TONES_HZ: Final = (880.0, 660.0)
_TONE_S: Final = 0.16
_EDGE_S: Final = 0.01  # a tone that begins at once clicks
_LOUDNESS: Final = 0.4

_MOST = 50


class Bell:
    """Alerts that the page has not shown yet; safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            clock: seconds that never go back; tests bring their own.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._alerts: deque[tuple[float, Event]] = deque(maxlen=_MOST)

    def ring(self, alerts: Iterable[Event]) -> None:
        """Keep alerts for the page; of very many, the newest."""
        with self._lock:
            now_s = self._clock()
            self._alerts.extend((now_s, alert) for alert in alerts)

    def drain(self, fresh_s: float = math.inf) -> tuple[Event, ...]:
        """Return the alerts that came since the last call, oldest first.

        Args:
            fresh_s: those that rang longer ago are forgotten, in seconds.
        """
        with self._lock:
            since_s = self._clock() - fresh_s
            found = tuple(alert for rang_s, alert in self._alerts if rang_s >= since_s)
            self._alerts.clear()
        return found


def beep_wav(number: int = 0) -> bytes:
    """Return two short tones as a WAV file.

    Args:
        number: written into the file where nobody hears it. A browser plays the same
            file only once by itself, so each alert needs another one.
    """
    samples = [
        int(32767 * _LOUDNESS * _swell(place) * math.sin(2 * math.pi * hz * place))
        for hz in _TONES_HZ
        for place in (step / _RATE_HZ for step in range(int(_TONE_S * _RATE_HZ)))
    ]
    # Values this small are silence.
    samples += [(number >> shift) & 7 for shift in range(0, 30, 3)]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE_HZ)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


def _swell(place_s: float) -> float:
    """Return how loud a tone is at a moment, in [0, 1]: it rises and falls."""
    return min(1.0, place_s / _EDGE_S, (_TONE_S - place_s) / _EDGE_S)
