"""The base and the extras of the package agree with the lists that `make` installs."""

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


def name_of(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def listed(file: str) -> dict[str, tuple[Requirement, str]]:
    """Return what a list of requirements asks for and why, by name."""
    found = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        text, _, reason = line.partition("#")
        if text.strip() and not text.startswith("-r"):
            requirement = Requirement(text.strip())
            found[name_of(requirement)] = requirement, reason.strip()
    return found


RUN, DEV = listed("requirements.txt"), listed("requirements-dev.txt")


def required(texts: list[str]) -> dict[str, Requirement]:
    """Return what an extra itself asks for, without other extras of maskdet."""
    found = [Requirement(text) for text in texts]
    return {name_of(one): one for one in found if name_of(one) != "maskdet"}


def whole(extra: str) -> set[str]:
    """Return all that an extra asks for, through other extras too."""
    names = set(required(EXTRAS[extra]))
    for text in EXTRAS[extra]:
        requirement = Requirement(text)
        if name_of(requirement) == "maskdet":
            names |= set().union(*map(whole, requirement.extras))
    return names


PARTS = {"base": PROJECT["dependencies"], **EXTRAS}


@pytest.mark.parametrize("part", PARTS)
def test_bounds_are_the_same_in_both_places(part: str) -> None:
    for name, requirement in required(PARTS[part]).items():
        wanted, _ = {**RUN, **DEV}[name]
        assert requirement == wanted


def test_everything_is_in_the_complete_list_and_in_the_extra_all() -> None:
    base = set(required(PROJECT["dependencies"]))
    # Drivers of servers that few have, and what only exports as ONNX: not everybody's.
    few = {"paho-mqtt", "psycopg", "onnx", "tf2onnx"}
    assert base | whole("all") == set(RUN) | few
    assert few <= set(DEV)
    assert set().union(*map(whole, EXTRAS)) == whole("all")
    assert not base & whole("all")


@pytest.mark.parametrize(("file", "list_"), [("run", RUN), ("dev", DEV)])
def test_each_line_has_its_reason(file: str, list_) -> None:
    assert [name for name, (_, reason) in list_.items() if len(reason) < 10] == []


def test_what_a_message_advises_to_install_brings_the_library() -> None:
    packages = {"sqlalchemy": "sqlalchemy", "paho.mqtt.client": "paho-mqtt"}
    packages |= {"vl_convert": "vl-convert-python"}
    for module, (_, extra) in LIBRARIES.items():
        package = packages.get(module, module.replace("_", "-"))
        assert package in whole(extra), f"{module} is not in the extra {extra}"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_holds_a_version_within_each_bound(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+) ", text, re.MULTILINE))
    wanted = RUN if lock == "requirements.lock" else {**RUN, **DEV}
    for name, (requirement, _) in wanted.items():
        assert pinned[name] in requirement.specifier
