"""Analyzer, classifier and settings from options and from the dashboard's file."""

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest

from maskdet.analyzer import DEFAULT_ANALYZER
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_people_options,
    chosen,
)
from maskdet.types import Settings
from maskdet.voting import PRESETS


def choose(*words: str) -> Choice:
    parser = argparse.ArgumentParser()
    add_analyzer_options(parser)
    return chosen(parser.parse_args(words))


def test_without_options_everything_is_the_default():
    assert choose() == Choice()


def test_what_the_dashboard_saved_is_taken_as_a_whole(tmp_path):
    saved = tmp_path / "mine.json"
    saved.write_text(
        json.dumps(
            {
                "analyzer": "haar",
                "classifier": "tutorial",
                "settings": {"min_score": 0.7},
                "second_look": False,
                "mirror": False,
            }
        )
    )
    wanted = Choice("haar", "tutorial", Settings(min_score=0.7), second_look=False)
    assert choose("--settings", str(saved)) == wanted


def test_options_win_over_the_file(tmp_path):
    saved = tmp_path / "mine.json"
    saved.write_text('{"classifier": "tutorial", "settings": {"min_score": 0.7}}')
    found = choose(
        *("--settings", str(saved)),
        *("--classifier", "maskdet", "--analyzer", "ssd", "--min-score", "0.2"),
    )
    assert found == Choice("ssd", "maskdet", Settings(min_score=0.2))


@pytest.mark.parametrize(
    ("words", "second_look"), [([], True), (["--no-second-look"], False)]
)
def test_the_second_look_is_taken_unless_somebody_says_no(words, second_look):
    assert choose(*words) == Choice(second_look=second_look)


def test_auto_is_the_default_here(tmp_path):
    saved = tmp_path / "auto.json"
    saved.write_text('{"analyzer": "auto", "settings": {}}')
    assert choose("--settings", str(saved)) == Choice()
    assert choose("--analyzer", "auto").analyzer == DEFAULT_ANALYZER


def test_bare_settings_leave_the_models_alone(tmp_path):
    saved = tmp_path / "bare.json"
    saved.write_text('{"min_confidence": 0.8}')
    assert choose("--settings", str(saved)) == Choice(
        settings=Settings(min_confidence=0.8)
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[]", "settings must be a JSON object"),
        ("{", "not valid JSON"),
        ('{"min_scor": 1}', "unknown setting 'min_scor'"),
        ('{"settings": {}, "second_look": 1}', "second_look must be true or false"),
    ],
)
def test_a_file_that_is_none_is_named(content, line, tmp_path):
    odd = tmp_path / "odd.json"
    odd.write_text(content)
    with pytest.raises(ValueError, match=line) as raised:
        choose("--settings", str(odd))
    assert str(odd) in str(raised.value)


def choose_people(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_analyzer_options(parser, live=True)
    add_people_options(parser)
    return chosen(parser.parse_args(words), live=True).settings


def test_every_setting_of_people_over_time_has_an_option() -> None:
    got = choose_people(
        *("--memory-s", "5", "--smoothing", "window", "--smoothing-window-s", "1.5"),
        *(
            "--distance",
            "ground_plane",
            "--contact-distance-m",
            "1",
            "--contact-duration-s",
            "2",
        ),
        *("--ground-points", "0.3", "0.5", "0.7", "0.5", "0.9", "0.9", "0.1", "0.9"),
        *("--ground-width-m", "4", "--ground-depth-m", "6"),
        *("--field-of-view-deg", "80"),
    )
    assert got == Settings(
        memory_s=5,
        smoothing="window",
        smoothing_window_s=1.5,
        distance="ground_plane",
        contact_distance_m=1,
        contact_duration_s=2,
        ground_points=(0.3, 0.5, 0.7, 0.5, 0.9, 0.9, 0.1, 0.9),
        ground_width_m=4,
        ground_depth_m=6,
        field_of_view_deg=80,
    )


def test_a_preset_is_a_beginning_and_options_win() -> None:
    wanted = dataclasses.replace(PRESETS["track-onepass"].settings, memory_s=2.0)
    assert choose_people("--preset", "track-onepass", "--memory-s", "2") == wanted


def test_two_beginnings_are_one_too_many(tmp_path) -> None:
    saved = tmp_path / "mine.json"
    saved.write_text(Settings().to_json())
    with pytest.raises(ValueError, match="choose one"):
        choose_people("--preset", "track-head", "--settings", str(saved))


@pytest.mark.parametrize(
    "words",
    [
        ("--distance", "near"),
        ("--smoothing", "loud"),
        ("--ground-points", "0.1", "0.2"),
        ("--preset", "mine"),
    ],
)
def test_what_no_setting_can_be_is_refused_at_once(words, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        choose_people(*words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err
