"""Metrics and log lines of the dashboard."""

from __future__ import annotations

import json
import logging
import uuid

from prometheus_client.parser import text_string_to_metric_families

from maskdet.alerts.monitor import AlertConfig, AlertMonitor
from maskdet.alerts.rules import AlertRule
from maskdet.events import StreamInfo
from maskdet.serving.preferences import Preferences
from maskdet.web import metrics
from maskdet.web.cameras.config import Camera
from maskdet.web.cameras.feeds import CameraFeeds
from maskdet.web.live.frames import annotate_image
from maskdet.web.live.state import LiveState
from maskdet.web.metrics import CameraMetrics
from maskdet.web.server.logs import JsonFormatter
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.streams import LEFT, NO_MASK, NOISE


def read_samples(camera: str) -> dict[str, float]:
    """Return the values of a camera by name, and by kind for events."""
    families = text_string_to_metric_families(metrics.format_text().decode())
    return {
        sample.labels.get("kind", sample.name): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("camera") == camera
        and "le" not in sample.labels
        and not sample.name.endswith("_created")
    }


def test_frames_events_and_alerts_are_counted_by_camera() -> None:
    camera = uuid.uuid4().hex
    now_s = 0.0
    state = LiveState(
        Preferences(mirror=False), clock=lambda: now_s, metrics=CameraMetrics(camera)
    )
    analyzer = ScriptedAnalyzer(lambda time_s: [ScriptedFace(LEFT, NO_MASK)])
    monitor = AlertMonitor(AlertConfig(rules=(AlertRule("no_mask", for_s=0.5),)))
    run = state.get_or_create_session(
        "fake", analyzer, monitor.monitor_stream(StreamInfo.now("Door", 0.0))
    )
    for number in range(30):
        now_s = analyzer.time_s = number / 10
        annotate_image(NOISE, state, run, n_arrived=3)
    samples = read_samples(camera)
    assert samples["maskdet_frames_received_total"] == 90
    assert samples["maskdet_frames_analyzed_total"] == 30
    assert samples["maskdet_frames_dropped_total"] == 60
    assert samples["maskdet_frames_failed_total"] == 0
    assert samples["maskdet_frame_seconds_count"] == 30
    assert samples["maskdet_alerts_total"] == 1
    assert (samples["entered"], samples["classified"]) == (1, 1)
    state.record_failure(run, 1, RuntimeError("no model"))
    state.end_session(run)
    samples = read_samples(camera)
    assert samples["maskdet_frames_failed_total"] == 1
    assert samples["left"] == 1


def test_an_entered_camera_is_not_named() -> None:
    feeds = CameraFeeds(lambda name, preferences: ScriptedAnalyzer(lambda time_s: []))
    named = Camera(uuid.uuid4().hex, "rtsp://192.0.2.1/a", is_named=True)
    entered = Camera(uuid.uuid4().hex, "rtsp://192.0.2.1/b", is_named=False)
    for camera in (named, entered):
        feeds.get(camera)
    assert read_samples(named.name)["maskdet_frames_received_total"] == 0
    assert not read_samples(entered.name)
    assert read_samples(metrics.ENTERED)


def test_a_log_line_is_one_json_object_with_its_fields() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.getLogger("maskdet.x").makeRecord(
            "maskdet.x",
            logging.ERROR,
            "x.py",
            1,
            "camera %s failed",
            ("Door",),
            (type(error), error, error.__traceback__),
            extra={"camera": "Door", "source": object(), "_of_a_library": 1},
        )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["message"] == "camera Door failed"
    assert fields["camera"] == "Door"
    assert fields["time"].endswith("+00:00")
    assert "ValueError: two" in fields["traceback"]
    assert set(fields) == {
        *("time", "level", "logger", "message", "camera", "traceback")
    }
