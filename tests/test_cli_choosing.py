"""Analyzer, classifier and settings from options and from the dashboard's file."""

from __future__ import annotations

import argparse
import json

import pytest

from maskdet.cli.choosing import Choice, add_analyzer_options, chosen
from maskdet.types import Settings


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
                "mirror": False,
            }
        )
    )
    wanted = Choice("haar", "tutorial", Settings(min_score=0.7))
    assert choose("--settings", str(saved)) == wanted


def test_options_win_over_the_file(tmp_path):
    saved = tmp_path / "mine.json"
    saved.write_text('{"classifier": "tutorial", "settings": {"min_score": 0.7}}')
    found = choose(
        *("--settings", str(saved)),
        *("--classifier", "maskdet", "--analyzer", "ssd", "--min-score", "0.2"),
    )
    assert found == Choice("ssd", "maskdet", Settings(min_score=0.2))


def test_bare_settings_leave_the_models_alone(tmp_path):
    saved = tmp_path / "bare.json"
    saved.write_text('{"min_certainty": 0.8}')
    assert choose("--settings", str(saved)) == Choice(
        settings=Settings(min_certainty=0.8)
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[]", "settings must be a JSON object"),
        ("{", "not valid JSON"),
        ('{"min_scor": 1}', "unknown setting 'min_scor'"),
    ],
)
def test_a_file_that_is_none_is_named(content, line, tmp_path):
    odd = tmp_path / "odd.json"
    odd.write_text(content)
    with pytest.raises(ValueError, match=line) as raised:
        choose("--settings", str(odd))
    assert str(odd) in str(raised.value)
