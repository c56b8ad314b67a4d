"""The About page, run without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from maskdet import __version__
from maskdet.analyzers.pipelines import ANALYZERS
from maskdet.evaluation.training_runs import RUNS_FOLDER, list_training_runs
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE, MODEL_FILES
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.server import navigation
from tests.helpers.waiting import WAIT_S

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app.py"


@pytest.fixture
def about(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    app.switch_page("pages/about.py").run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = ("markdown", "caption", "html", "warning")
    return "\n".join(str(part.value) for kind in kinds for part in app.main.get(kind))


def test_the_page_states_limitations_privacy_and_version(about: AppTest) -> None:
    assert about.title[0].value == "About maskdet"
    assert "not a security device" in texts(about)
    assert "They are not\n  written to its disk" in texts(about)
    assert f"Version {__version__}, " in texts(about)


def test_every_label_is_explained(about: AppTest) -> None:
    for label in Label:
        assert f"<b>{label.title}</b>" in texts(about)


def test_every_analyzer_and_model_file_is_listed_with_its_licence(about) -> None:
    for name, line in ANALYZERS.items():
        assert f"** (`{name}`): {line}" in texts(about)
    assert "**Auto** uses Fast for video and Accurate for images" in texts(about)
    for asset in MODEL_FILES.values():
        assert f"**{asset.name}** ({asset.licence}, " in texts(about)


def test_every_model_card_is_shown_completely(about: AppTest) -> None:
    cards = sorted((ROOT / "models").glob("*.md"))
    cards = [path for path in cards if path.name != "README.md"]
    cards.append(ROOT / "models" / "runs-onepass" / "onepass" / "card.md")
    cards += [RUNS_FOLDER / name / "card.md" for name in list_training_runs()]
    assert len(about.main.expander) == len(cards)
    for path, shown in zip(cards, about.main.expander, strict=True):
        title, *lines = path.read_text(encoding="utf-8").splitlines()
        assert shown.label == f"Model card: {title.lstrip('# ')}"
        for line in lines:
            assert line.lstrip("# ") in shown.markdown[0].value


def test_a_page_opened_first_reruns_through_the_app(monkeypatch) -> None:
    rerun: list[bool] = []
    monkeypatch.setattr(navigation.st, "rerun", lambda: rerun.append(True))
    monkeypatch.setattr(PagesManager, "uses_pages_directory", True)
    navigation.require_app_entry()
    navigation.require_app_entry()
    assert rerun == [True]
    assert PagesManager.uses_pages_directory is False


@pytest.mark.parametrize("page", ["about", "live"])
def test_a_missing_model_folder_is_one_line_on_every_page(
    page, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(tmp_path / "none"))
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith(f"{MODEL_DIR_VARIABLE} is ")
    assert not app.title
