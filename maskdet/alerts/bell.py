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

_SAMPLE_RATE_HZ: Final = 16_000
_TONES_HZ: Final = (880.0, 660.0)
_TONE_S: Final = 0.16
_FADE_S: Final = 0.01  # a tone that begins at once clicks
_AMPLITUDE: Final = 0.4

_MAX_ALERTS = 50


class AlertInbox:
    """Alerts that the page has not shown yet; safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            clock: seconds that never go back; tests bring their own.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._alerts: deque[tuple[float, Event]] = deque(maxlen=_MAX_ALERTS)

    def put(self, alerts: Iterable[Event]) -> None:
        """Keep alerts for the page; of very many, the newest."""
        with self._lock:
            now_s = self._clock()
            self._alerts.extend((now_s, alert) for alert in alerts)

    def pop_all(self, max_age_s: float = math.inf) -> tuple[Event, ...]:
        """Return the alerts that came since the last call, oldest first.

        Args:
            max_age_s: those that rang longer ago are forgotten, in seconds.
        """
        with self._lock:
            oldest_s = self._clock() - max_age_s
            alerts = tuple(
                alert for arrived_s, alert in self._alerts if arrived_s >= oldest_s
            )
            self._alerts.clear()
        return alerts


def make_beep_wav(number: int = 0) -> bytes:
    """Return two short tones as a WAV file.

    Args:
        number: written into the file where nobody hears it. A browser plays the same
            file only once by itself, so each alert needs another one.
    """
    samples = [
        int(
            32767
            * _AMPLITUDE
            * _tone_envelope(time_s)
            * math.sin(2 * math.pi * hz * time_s)
        )
        for hz in _TONES_HZ
        for time_s in (
            step / _SAMPLE_RATE_HZ for step in range(int(_TONE_S * _SAMPLE_RATE_HZ))
        )
    ]
    # Values this small are silence.
    samples += [(number >> shift) & 7 for shift in range(0, 30, 3)]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLE_RATE_HZ)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


def _tone_envelope(time_s: float) -> float:
    """Return how loud a tone is at a moment, in [0, 1]: it rises and falls."""
    return min(1.0, time_s / _FADE_S, (_TONE_S - time_s) / _FADE_S)
