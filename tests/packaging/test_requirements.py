"""Tests that the requirements of the package agree with the requirements files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maskdet.extras import LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
EXTRAS = PROJECT["optional-dependencies"]


def canonical_name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def read_requirements(file: str) -> dict[str, tuple[Requirement, str]]:
    """Return the requirements of a file and their reasons, by name."""
    requirements = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        text, _, reason = line.partition("#")
        if text.strip() and not text.startswith("-r"):
            requirement = Requirement(text.strip())
            requirements[canonical_name(requirement)] = requirement, reason.strip()
    return requirements


RUN, DEV = (
    read_requirements("requirements.txt"),
    read_requirements("requirements-dev.txt"),
)


def parse_own_requirements(texts: list[str]) -> dict[str, Requirement]:
    """Return the requirements of an extra by name, without other extras of maskdet."""
    requirements = {canonical_name(each): each for each in map(Requirement, texts)}
    requirements.pop("maskdet", None)
    return requirements


def list_all_requirements(extra: str) -> set[str]:
    """Return the names of all requirements of an extra, including nested extras."""
    names = set(parse_own_requirements(EXTRAS[extra]))
    for text in EXTRAS[extra]:
        requirement = Requirement(text)
        if canonical_name(requirement) == "maskdet":
            names |= set().union(*map(list_all_requirements, requirement.extras))
    return names


PARTS = {"base": PROJECT["dependencies"], **EXTRAS}


@pytest.mark.parametrize("part", PARTS)
def test_version_bounds_agree(part: str) -> None:
    for name, requirement in parse_own_requirements(PARTS[part]).items():
        expected, _ = {**RUN, **DEV}[name]
        assert requirement == expected


def test_requirements_txt_and_extra_all_are_complete() -> None:
    base = set(parse_own_requirements(PROJECT["dependencies"]))
    # Drivers, ONNX export, the login and Ray are not in requirements.txt.
    optional = {"authlib", "httpx", "paho-mqtt", "psycopg", "ray", "tf2onnx"}
    assert base | list_all_requirements("all") == set(RUN) | optional
    assert optional <= set(DEV)
    assert set().union(*map(list_all_requirements, EXTRAS)) == list_all_requirements(
        "all"
    )
    assert not base & list_all_requirements("all")


@pytest.mark.parametrize(("file", "list_"), [("run", RUN), ("dev", DEV)])
def test_each_requirement_has_a_reason(file: str, list_) -> None:
    assert [name for name, (_, reason) in list_.items() if len(reason) < 10] == []


def test_every_extra_contains_its_libraries() -> None:
    packages = {"sqlalchemy": "sqlalchemy", "paho.mqtt.client": "paho-mqtt"}
    packages |= {"vl_convert": "vl-convert-python"}
    for module, (_, extra) in LIBRARIES.items():
        package = packages.get(module, module.replace("_", "-"))
        assert package in list_all_requirements(extra), (
            f"{module} is not in the extra {extra}"
        )


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locked_versions_are_within_the_bounds(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+) ", text, re.MULTILINE))
    expected = RUN if lock == "requirements.lock" else {**RUN, **DEV}
    for name, (requirement, _) in expected.items():
        assert pinned[name] in requirement.specifier


def test_the_requirements_of_the_community_cloud_are_those_of_the_dashboard() -> None:
    path = ROOT / "deploy" / "community_cloud" / "requirements.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    needed = set(PROJECT["dependencies"])
    for extra in ("app", "events", "report"):
        needed |= {text for text in EXTRAS[extra] if not text.startswith("maskdet[")}
    assert set(listed) == needed
