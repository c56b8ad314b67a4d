"""Start the dashboard for a long test: `python serve.py PORT FIGURES`.

It is `maskdet app` with three additions: media over 127.0.0.1, which aioice excludes;
every visitor records events; and a thread that writes numbers which cannot be seen from
outside of the process to the file FIGURES, a JSON object in a line each second.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from streamlit import runtime

from maskdet.alerts.monitor import AlertConfig
from maskdet.web.events import recorders, service
from maskdet.web.server.launch import launch_dashboard
from tests.helpers.servers import use_loopback_for_media

INTERVAL_S = 1.0


def make_recorder() -> recorders.Recorder:
    """Return the recorder of a new visitor, who records events."""
    recorder = recorders.Recorder(recorders.EventPreferences(record=True))
    recorder.monitor.configure(AlertConfig(), service.get_event_writer())
    return recorder


def write_figures(path: Path) -> None:
    """Append the numbers of the server to a file, each second."""
    with path.open("a", encoding="utf-8") as file:
        while True:
            time.sleep(INTERVAL_S)
            # Its constructor may still be running in the main thread.
            if runtime.exists() and hasattr(runtime.get_instance(), "_session_mgr"):
                print(json.dumps(read_figures()), file=file, flush=True)


def read_figures() -> dict[str, object]:
    """Return the numbers of visitors, streams, tasks and waiting frames and events."""
    server: Any = runtime.get_instance()
    webrtc: Any = sys.modules.get("streamlit_webrtc.webrtc")
    # There are none until another thread has imported it completely.
    workers = [*getattr(webrtc, "_live_workers", ())]
    tracks = [
        receiver.track
        for worker in workers
        for receiver in worker.pc.getReceivers()
        if receiver.track is not None
    ]
    writer = service.get_event_writer()
    try:
        n_tasks = len(asyncio.all_tasks(server._get_async_objs().eventloop))
    except RuntimeError:  # the event loop changed the set at that moment
        n_tasks = 0
    return {
        "pid": os.getpid(),
        "sessions": len(server._session_mgr.list_active_sessions()),
        "streams": len(workers),
        "tasks": n_tasks,
        "frames waiting": sum(track._queue.qsize() for track in tracks),
        "events waiting": 0 if writer is None else writer.status().n_waiting,
        "events written": 0 if writer is None else writer.status().n_written,
        "thread names": sorted(thread.name for thread in threading.enumerate()),
    }


def main() -> None:
    """Serve until the process is stopped."""
    port, figures = int(sys.argv[1]), Path(sys.argv[2])
    use_loopback_for_media()
    vars(service)["Recorder"] = make_recorder
    threading.Thread(target=write_figures, args=[figures], daemon=True).start()
    launch_dashboard(port=port, address="127.0.0.1", browser=False)


if __name__ == "__main__":
    main()
