"""Annotated live video: each frame is analyzed and sent once, when it is ready."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from maskdet.threads import count_cores

_N_THREADS: Final = count_cores()
"""Frames that are analyzed at the same time; those of more viewers wait their turn.
More would slow down the decoding, and frames that are not decoded yet queue up."""


@functools.cache
def _get_executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_N_THREADS, thread_name_prefix="maskdet-live")


class ProcessedTrack(MediaStreamTrack):
    """Video after the frame callback, in the place of streamlit-webrtc's own track.

    That one sends the last result again for each frame of the camera, which is encoded
    again, sends a result only with the next frame, and blocks the server when it stops.
    """

    kind = "video"

    def __init__(self, track: MediaStreamTrack, processor: Any) -> None:
        """Start before the first frame.

        Args:
            track: the camera; gives the newest frame.
            processor: has the coroutine `recv_queued(frames)`, which does not wait for
                anything, and `on_ended()`.
        """
        super().__init__()
        self.track, self.processor = track, processor
        self._last: Future[av.VideoFrame] | None = None
        track.on("ended", self.stop)

    async def recv(self) -> av.VideoFrame:
        """Return the next frame with what the processor has drawn.

        Raises:
            MediaStreamError: the video has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        frame: Any = await self.track.recv()
        self._last = _get_executor().submit(_process, self.processor, frame)
        result = await asyncio.wrap_future(self._last)
        result.pts, result.time_base = frame.pts, frame.time_base
        return result

    def stop(self) -> None:
        """End the video after the frame that is being processed."""
        if self.readyState != "live":
            return
        super().stop()
        self.track.stop()
        if self._last is None:
            self._report_end()
        else:
            self._last.add_done_callback(lambda _: self._report_end())

    def _report_end(self) -> None:
        _get_executor().submit(self.processor.on_ended)


def _process(processor: Any, frame: av.VideoFrame) -> av.VideoFrame:
    """Return the frame of a coroutine that does not wait, without an event loop."""
    try:
        processor.recv_queued([frame]).send(None)
    except StopIteration as end:
        result: av.VideoFrame = end.value[-1]
        return result
    raise RuntimeError("the frame callback must not wait")
