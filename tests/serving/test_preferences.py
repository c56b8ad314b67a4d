"""Preferences in files, links and the environment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.web.live.connection import (
    ICE_SERVERS_VARIABLE,
    TURN_SECRET_VARIABLE,
    TURN_URLS_VARIABLE,
    get_rtc_configuration,
)
from maskdet.web.widgets import escape_markdown

CHANGED = [
    Preferences(),
    Preferences(analyzer="haar", mirror=False),
    Preferences(settings=Settings(min_score=0.25, min_face_px=40, nms_iou=1)),
    Preferences(style=Style(palette="colour-blind", labels=False, scale=2)),
    Preferences(camera_width=1280, camera_height=720, camera_fps=30),
    Preferences(refine=False),
    Preferences(rotate=270),
    Preferences(settings=Settings(class_weights=(1, 0.25, 0))),
    Preferences(
        style=Style(
            class_names={"no_mask": "Ohne Maske", "unknown": "Collecting info"},
            class_colours={"mask": "#0000ff"},
        )
    ),
    Preferences(style=Style(ids=False, blur=True)),
    Preferences(
        settings=Settings(smoothing="window", smoothing_window_s=0.5, memory_s=8)
    ),
    Preferences(
        settings=Settings(
            distance="ground_plane",
            ground_points=(0.3, 0.5, 0.7, 0.5, 0.9, 0.9, 0.1, 0.95),
            contact_distance_m=1,
        )
    ),
]


@pytest.mark.parametrize("chosen", CHANGED)
def test_a_file_restores_the_preferences(chosen: Preferences) -> None:
    assert Preferences.from_json(chosen.to_json()) == chosen


@pytest.mark.parametrize("chosen", CHANGED)
def test_a_link_restores_the_preferences(chosen: Preferences) -> None:
    link = chosen.to_link("https://example.org/image?old=1")
    parts = urlsplit(link)
    assert (parts.netloc, parts.path) == ("example.org", "/image")
    assert Preferences.from_query(dict(parse_qsl(parts.query))) == chosen


def test_a_link_contains_only_non_default_values() -> None:
    assert Preferences().to_link("https://example.org/") == "https://example.org/"
    chosen = replace(CHANGED[2], mirror=False)
    assert chosen.to_query() == {
        "min_score": "0.25",
        "min_face_px": "40.0",
        "nms_iou": "1.0",
        "mirror": "false",
    }


def test_the_classifier_is_part_of_file_and_link(monkeypatch) -> None:
    monkeypatch.setitem(CLASSIFIERS, "twin", CLASSIFIERS[DEFAULT_CLASSIFIER])
    chosen = Preferences(classifier="twin")
    assert chosen.to_query() == {"classifier": "twin"}
    assert Preferences.from_query(chosen.to_query()) == chosen
    assert Preferences.from_json(chosen.to_json()) == chosen
    assert Preferences().classifier == DEFAULT_CLASSIFIER


def test_the_default_analyzer_is_auto() -> None:
    assert Preferences().analyzer == "auto"
    assert Preferences(analyzer="haar").to_query() == {"analyzer": "haar"}
    assert Preferences(refine=False).to_query() == {"refine": "false"}


def test_a_file_without_the_model_fields_gets_the_defaults() -> None:
    saved = json.loads(Preferences(mirror=False).to_json())
    del saved["classifier"], saved["refine"]
    assert Preferences.from_json(json.dumps(saved)) == Preferences(mirror=False)


def test_a_settings_file_can_be_loaded() -> None:
    settings = Settings(min_score=0.7)
    assert Preferences.from_json(settings.to_json()).settings == settings
    saved = json.loads(Preferences(settings=settings).to_json())
    assert Settings.from_json(json.dumps(saved["settings"])) == settings


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "this file is not valid JSON"),
        ("[" * 100_000, "this file is not valid JSON"),
        ("[1]", "this file must be a JSON object, not list"),
        (
            '{"colour": 1}',
            "unknown setting 'colour'; accepted are analyzer, settings, style",
        ),
        ('{"analyzer": "magic"}', "analyzer must be one of .*, not 'magic'"),
        ('{"analyzer": 7}', "analyzer must be a text, not 7"),
        ('{"style": 3}', "style must be a JSON object, not 3"),
        ('{"style": {"labels": 1}}', "labels must be true or false, not 1"),
        ('{"style": {"palette": "pink"}}', "palette must be one of .*, not 'pink'"),
        ('{"settings": {"min_score": true}}', "min_score must be a number from 0 to 1"),
        ('{"settings": {"min_score": NaN}}', "min_score must be a number from 0 to 1"),
        ('{"settings": {"min_size": 1}}', "unknown setting 'min_size'"),
        ('{"camera_fps": 0}', "camera_fps must be a whole number from 1 to 60"),
        ('{"camera_width": 99999}', "camera_width must be a whole number from 160"),
    ],
)
def test_an_invalid_file_is_rejected_in_one_line(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=line) as error:
        Preferences.from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"utm_source": "x"}, "unknown setting 'utm_source'; accepted are analyzer"),
        ({"min_score": "much"}, "^min_score must be a number from 0 to 1, not 'much'"),
        ({"min_score": "2"}, "min_score must be a number from 0 to 1, not 2"),
        ({"mirror": "yes"}, "mirror must be true or false, not 'yes'"),
        ({"rotate": "45"}, "rotate must be one of 0, 90, 180, 270 degrees, not 45"),
        ({"refine": "1"}, "refine must be true or false, not 1"),
        ({"analyzer": "magic"}, "analyzer must be one of auto, .*, not 'magic'"),
        ({"camera_fps": "7.5"}, "camera_fps must be a whole number from 1 to 60, not"),
        ({"classifier": "magic"}, "classifier must be one of maskdet.*, not 'magic'"),
        ({"classifier": "a.tflite"}, "classifier must be one of .*, not 'a.tflite'"),
        ({"ground_points": "0.5"}, "ground_points must be a list of numbers from -2"),
        ({"ground_points": "[1, 2]"}, "ground_points must be eight numbers from -2"),
        ({"blur": "1"}, "blur must be true or false, not 1"),
        ({"palette": ""}, "palette must be one of .*, not ''"),
        ({"class_weights": "1"}, "class_weights must be a list of numbers from 0 to 1"),
        ({"class_weights": "[1, 1, true]"}, "class_weights.2 must be a number from 0"),
        ({"ground_points": '["x"]'}, "^ground_points.0 must be a number from -2 to 3"),
        ({"class_names": '{"mask": 3}'}, "^class_names.mask must be a text, not 3"),
        ({"class_weights": "[1, 1]"}, "class_weights must be three numbers from 0 to"),
        ({"class_names": "Mask"}, "class_names must be a JSON object, not 'Mask'"),
        ({"class_names": '{"mask": "<b>"}'}, "class_names: mask must be 1 to 24"),
        ({"class_colours": '{"mask": "red"}'}, "class_colours: mask must be a colour"),
        ({"camera_fps": "[" * 9999}, "camera_fps must be a whole number"),
    ],
)
def test_an_invalid_link_is_rejected_in_one_line(query, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        Preferences.from_query(query)


def test_no_ice_server_is_used_by_default() -> None:
    assert get_rtc_configuration({}) == {"iceServers": []}
    assert get_rtc_configuration({"TWILIO_ACCOUNT_SID": "x"}) == {"iceServers": []}
    assert get_rtc_configuration({"HF_TOKEN": "x"}) == {}
    servers = [{"urls": ["turn:turn.example.org"], "username": "a", "credential": "b"}]
    environment = {ICE_SERVERS_VARIABLE: json.dumps(servers), "HF_TOKEN": "x"}
    assert get_rtc_configuration(environment) == {"iceServers": servers}
    assert get_rtc_configuration({ICE_SERVERS_VARIABLE: "[]", "HF_TOKEN": "x"}) == {
        "iceServers": []
    }


def test_the_password_of_the_own_turn_server_expires() -> None:
    urls = "turn:turn.example.org:3478 turns:turn.example.org:5349?transport=tcp"
    environment = {TURN_SECRET_VARIABLE: "north", TURN_URLS_VARIABLE: urls}
    server = {
        "urls": urls.split(),
        "username": "1700049600",  # the end, in seconds since 1970
        # echo -n 1700049600 | openssl dgst -sha1 -hmac north -binary | base64
        "credential": "/qk88XP/HgERztblfK/VcuUj1e8=",
    }
    begin_s = 1_700_049_600 - 24 * 3600

    def configure(now_s: float) -> dict[str, Any]:
        return get_rtc_configuration(environment, clock=lambda: now_s)

    assert configure(begin_s) == {"iceServers": [server]}
    assert configure(begin_s + 12 * 3600 - 1) == {"iceServers": [server]}
    later = configure(begin_s + 12 * 3600)
    assert later["iceServers"][0]["username"] == "1700092800"


@pytest.mark.parametrize("urls", ["", "stun:turn.example.org", "turn.example.org"])
def test_a_turn_secret_needs_the_urls_of_the_server(urls) -> None:
    environment = {TURN_SECRET_VARIABLE: "north", TURN_URLS_VARIABLE: urls}
    with pytest.raises(ValueError, match=TURN_URLS_VARIABLE) as error:
        get_rtc_configuration(environment)
    assert "north" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stun:stun.example.org", "not valid JSON; try"),
        ('{"urls": "stun:x"}', "must be a JSON list such as"),
        ('["stun:x"]', "each server must be an object with the keys credential"),
        (
            '[{"url": "stun:x"}]',
            "each server must be an object with the keys credential",
        ),
        ("[{}]", "urls must begin with stun:"),
        ('[{"urls": []}]', "urls must begin with stun:"),
        ('[{"urls": ["http://x"]}]', "urls must begin with stun:"),
    ],
)
def test_invalid_servers_are_rejected_without_repeating_them(
    text: str, line: str
) -> None:
    with pytest.raises(ValueError, match=f"{ICE_SERVERS_VARIABLE}.*{line}"):
        get_rtc_configuration({ICE_SERVERS_VARIABLE: text})


def test_untrusted_markdown_is_shown_literally() -> None:
    assert escape_markdown("_a_") == r"\_a\_"
    assert escape_markdown("[x](http://y) <b>`$:red[z]") == (
        r"\[x\]\(http\:\/\/y\) \<b\>\`\$\:red\[z\]"
    )


OLD = {
    "min_score": 0.4,
    "min_certainty": 0.7,
    "vote": "cumulative",
    "vote_window_s": 1.5,
    "distance": "floor",
    "near_m": 1.0,
    "near_for_s": 2.0,
    "floor": [0.3, 0.5, 0.7, 0.5, 0.9, 0.9, 0.1, 0.95],
    "floor_width_m": 2.0,
    "floor_depth_m": 4.0,
}
"""Settings as version 0.1 wrote them."""

TODAY = Settings(
    min_score=0.4,
    min_confidence=0.7,
    smoothing="mean",
    smoothing_window_s=1.5,
    distance="ground_plane",
    contact_distance_m=1.0,
    contact_duration_s=2.0,
    ground_points=(0.3, 0.5, 0.7, 0.5, 0.9, 0.9, 0.1, 0.95),
    ground_width_m=2.0,
    ground_depth_m=4.0,
)


def test_files_and_links_of_version_0_1_are_read() -> None:
    assert Settings.from_json(json.dumps(OLD)) == TODAY
    assert Preferences.from_json(json.dumps(OLD)).settings == TODAY
    assert Preferences.from_json(json.dumps({"settings": OLD})).settings == TODAY
    saved = {"settings": {}, "second_look": False}
    assert Preferences.from_json(json.dumps(saved)) == Preferences(refine=False)
    link = {name: json.dumps(value).strip('"') for name, value in OLD.items()}
    assert Preferences.from_query(link).settings == TODAY
