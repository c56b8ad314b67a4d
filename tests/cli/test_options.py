"""Analyzer, classifier and settings from options and from the dashboard's file."""

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest

from maskdet.analyzers.pipelines import ANALYZERS, DEFAULT_ANALYZER
from maskdet.cli import parse_arguments
from maskdet.cli.options import (
    IMAGE_OPTIONS,
    STREAM_OPTIONS,
    AnalyzerOptions,
    add_analyzer_options,
    add_blur_option,
    add_tracking_options,
    parse_analyzer_options,
)
from maskdet.settings import Settings
from maskdet.smoothing import TRACKING_PRESETS
from maskdet.style import Style


def choose(*words: str) -> AnalyzerOptions:
    parser = argparse.ArgumentParser()
    add_analyzer_options(parser)
    return parse_analyzer_options(parser.parse_args(words))


def test_without_options_everything_is_the_default():
    assert choose() == AnalyzerOptions()


def test_a_settings_file_of_the_dashboard_is_read_completely(tmp_path):
    saved = tmp_path / "mine.json"
    saved.write_text(
        json.dumps(
            {
                "analyzer": "haar",
                "classifier": "tutorial",
                "settings": {"min_score": 0.7},
                "refine": False,
                "mirror": False,
            }
        )
    )
    wanted = AnalyzerOptions("haar", "tutorial", Settings(min_score=0.7), refine=False)
    assert choose("--settings", str(saved)) == wanted


def test_a_settings_file_of_version_0_2_is_read_completely(tmp_path):
    saved = tmp_path / "old.json"
    saved.write_text('{"settings": {"near_m": 2}, "second_look": false}')
    wanted = AnalyzerOptions(settings=Settings(contact_distance_m=2), refine=False)
    assert choose("--settings", str(saved)) == wanted


def test_options_win_over_the_file(tmp_path):
    saved = tmp_path / "mine.json"
    saved.write_text('{"classifier": "tutorial", "settings": {"min_score": 0.7}}')
    found = choose(
        *("--settings", str(saved)),
        *("--classifier", "maskdet", "--analyzer", "ssd", "--min-score", "0.2"),
    )
    assert found == AnalyzerOptions("ssd", "maskdet", Settings(min_score=0.2))


@pytest.mark.parametrize(
    ("words", "refine"), [([], True), (["--no-refinement"], False)]
)
def test_refinement_is_on_by_default(words, refine):
    assert choose(*words) == AnalyzerOptions(refine=refine)


def test_auto_is_the_default_analyzer(tmp_path):
    saved = tmp_path / "auto.json"
    saved.write_text('{"analyzer": "auto", "settings": {}}')
    assert choose("--settings", str(saved)) == AnalyzerOptions()
    assert choose("--analyzer", "auto").analyzer == DEFAULT_ANALYZER


def test_plain_settings_keep_the_default_models(tmp_path):
    saved = tmp_path / "bare.json"
    saved.write_text('{"min_confidence": 0.8}')
    assert choose("--settings", str(saved)) == AnalyzerOptions(
        settings=Settings(min_confidence=0.8)
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[]", "settings must be a JSON object"),
        ("{", "not valid JSON"),
        ('{"min_scor": 1}', "unknown setting 'min_scor'"),
        ('{"settings": {}, "refine": 1}', "refine must be true or false"),
        ('{"settings": {}, "analyzer": 1}', "analyzer must be a text, not 1"),
        ('{"settings": {}, "style": 3}', "style must be a JSON object, not 3"),
        ('{"settings": {"min_score": 3}}', "min_score must be a number from 0 to 1"),
    ],
)
def test_an_invalid_settings_file_is_named(content, line, tmp_path):
    odd = tmp_path / "odd.json"
    odd.write_text(content)
    with pytest.raises(ValueError, match=line) as raised:
        choose("--settings", str(odd))
    assert str(odd) in str(raised.value)


def choose_people(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_analyzer_options(parser, live=True)
    add_tracking_options(parser)
    return parse_analyzer_options(parser.parse_args(words), live=True).settings


def test_every_tracking_setting_has_an_option() -> None:
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


def test_options_override_a_preset() -> None:
    wanted = dataclasses.replace(
        TRACKING_PRESETS["track-onepass"].settings, memory_s=2.0
    )
    assert choose_people("--preset", "track-onepass", "--memory-s", "2") == wanted


def test_a_preset_and_a_settings_file_cannot_be_combined(tmp_path) -> None:
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
def test_an_invalid_value_of_a_setting_is_a_usage_error(words, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        choose_people(*words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


ANOTHER: dict[str, object] = {
    "min_score": 0.33,
    "min_confidence": 0.44,
    "min_face_px": 17.0,
    "nms_iou": 0.55,
    "memory_s": 4.5,
    "smoothing": "ema",
    "smoothing_window_s": 1.5,
    "class_weights": (1.0, 0.5, 0.0),
    "distance": "pinhole",
    "contact_distance_m": 1.1,
    "contact_duration_s": 7.0,
    "field_of_view_deg": 80.0,
    "ground_points": (0.3, 0.5, 0.7, 0.5, 0.9, 0.9, 0.1, 0.9),
    "ground_width_m": 4.0,
    "ground_depth_m": 6.0,
}
"""Another value than the default for each setting."""

COMMANDS_WITH_SETTINGS = {
    "detect": ["a.jpg"],
    "video": ["a.mp4"],
    "evaluate scenes": ["a.json"],
    "evaluate faces": ["index.csv"],
    "evaluate analyzers": ["a.json"],
    "tune": ["a.json"],
    "robustness": ["a.json"],
    "benchmark": [],
}
"""Every command that analyzes, with the words that it cannot do without."""


def test_every_setting_is_an_image_or_a_stream_option() -> None:
    names = {field.name for field in dataclasses.fields(Settings)}
    assert set(IMAGE_OPTIONS) | set(STREAM_OPTIONS) == names == set(ANOTHER)
    assert not set(IMAGE_OPTIONS) & set(STREAM_OPTIONS)


@pytest.mark.parametrize("command", COMMANDS_WITH_SETTINGS)
def test_every_analyzing_command_has_the_options_of_its_settings(
    command: str,
) -> None:
    head, live = command.split(), command == "video"
    for name in (*IMAGE_OPTIONS, *(STREAM_OPTIONS if live else ())):
        value = ANOTHER[name]
        words = [str(one) for one in (value if isinstance(value, tuple) else (value,))]
        option = f"--{name.replace('_', '-')}"
        given = [*head, *COMMANDS_WITH_SETTINGS[command], option, *words]
        got = parse_analyzer_options(parse_arguments(given), live=live).settings
        assert got == dataclasses.replace(Settings(), **{name: value})


@pytest.mark.parametrize("name", TRACKING_PRESETS)
def test_a_preset_sets_the_analyzer_and_says_what_it_does(name: str, capsys) -> None:
    preset, choice = TRACKING_PRESETS[name], choose("--preset", name)
    assert choice.analyzer == preset.analyzer in ANALYZERS
    assert choice.settings == preset.settings
    assert choice.refine is preset.refine
    choice.print_notices()
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"preset {name}: {preset.description}"
    assert second == f"pipeline: {choice.pipeline}"
    assert choose("--preset", name, "--analyzer", "haar").analyzer == "haar"


def test_the_defaults_print_no_notices(capsys) -> None:
    choose().print_notices()
    assert capsys.readouterr().err == ""


def styled(*words: str) -> Style:
    parser = argparse.ArgumentParser()
    add_blur_option(parser, "the copies")
    add_analyzer_options(parser)
    return parse_analyzer_options(parser.parse_args(words)).style


def test_names_and_colours_come_from_a_style_or_a_settings_file(tmp_path) -> None:
    names, colours = {"unknown": "Collecting info"}, {"mask": "#0000ff"}
    style = {"class_names": names, "class_colours": colours, "palette": "colour-blind"}
    own = Style(palette="colour-blind", class_names=names, class_colours=colours)
    bare, saved = tmp_path / "style.json", tmp_path / "saved.json"
    bare.write_text(json.dumps(style))
    saved.write_text(json.dumps({"settings": {}, "style": style}))
    assert styled("--style", str(bare)) == own
    assert styled("--style", str(saved)) == own
    assert styled("--settings", str(saved)) == own
    assert styled("--style", str(bare), "--blur") == dataclasses.replace(own, blur=True)
    plain = tmp_path / "plain.json"
    plain.write_text("{}")
    assert styled("--settings", str(saved), "--style", str(plain)) == Style()
    bare.write_text('{"class_names": {"mask": "<b>"}}')
    with pytest.raises(ValueError, match=r"style\.json: class_names: mask must be"):
        styled("--style", str(bare))
