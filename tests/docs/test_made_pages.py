"""The pages and the picture that come from the code are up to date, and show what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from argparse import SUPPRESS
from pathlib import Path

import pytest
from site_scripts import site_script

PICTURE = site_script("architecture_picture")


@pytest.mark.parametrize(
    ("script", "page"), [("commands_page", "commands.md"), ("architecture_picture", "architecture.svg")]
)
def test_a_page_is_up_to_date(script: str, page: str, repository: Path) -> None:
    """Whatever the terminal."""
    command = [sys.executable, repository / "docs" / "site" / f"{script}.py"]
    variables = {"PYTHONPATH": str(repository), "COLUMNS": "40", "PATH": ""}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout == (repository / "docs" / page).read_text(encoding="utf-8"), "run: make docs"


def test_the_commands_page_has_every_argument(repository: Path) -> None:
    from pipeline.cli import _parser

    page = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    found = list(site_script("commands_page").commands(_parser()))
    assert len(found) > 20
    for parser, summary in found:
        section = page.partition(f"\n## {parser.prog}\n")[2].partition("\n## ")[0]
        assert summary in page
        for action in parser._actions:
            assert all(f"`{name}" in section for name in action.option_strings if name not in ("-h", "-v")) or (
                action.dest in ("help", "verbose") or action.help == SUPPRESS
            ), f"{parser.prog}: {action.dest}"
    assert SUPPRESS not in page


def test_the_commands_page_is_plain_markdown(repository: Path) -> None:
    """No cell breaks its table: every row has two."""
    page = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) > 80
    assert [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) != 3] == []


def test_levels_follow_imports() -> None:
    edges = [("a", "b"), ("b", "c"), ("d", "c"), ("e", "f"), ("f", "e"), ("a", "e")]
    assert PICTURE.levels(edges, "abcdefg") == {"a": 2, "b": 1, "c": 0, "d": 1, "e": 0, "f": 0, "g": 0}


def test_a_circle_is_above_what_each_of_it_imports() -> None:
    assert PICTURE.levels([("a", "b"), ("b", "a"), ("a", "c"), ("c", "d"), ("b", "d")], "abcd") == {
        "a": 2,
        "b": 2,
        "c": 1,
        "d": 0,
    }


def test_what_imports_a_circle_is_above_it() -> None:
    for names in ("abc", "cba", "bac"):
        top, one, other = names
        found = PICTURE.levels([(top, one), (one, other), (other, one)], names)
        assert found == {top: 1, one: 0, other: 0}


def test_imports_for_a_type_checker_are_not_drawn(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import models.build\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import serving\n"
        "def run():\n    from tflite.host import words\n"
    )
    assert set(PICTURE.imported(module)) == {"models.build", "typing.TYPE_CHECKING", "tflite.host.words"}
    assert PICTURE.box_of("tflite.host.words") == "tflite.host"
    assert PICTURE.box_of("tflite.bundle") == "tflite"
    assert PICTURE.box_of("numpy.random") is None


def test_the_picture_shows_the_one_way_of_the_imports(repository: Path) -> None:
    imports = PICTURE.read_imports(repository)
    arrows = PICTURE.arrows(imports)
    assert arrows["serving", "models"] == 1  # the exception in pyproject.toml's contract
    order = PICTURE.levels(arrows, (*PICTURE.PACKAGES, PICTURE.HOST))
    assert all(order[source] > order[target] for source, target in arrows)
    picture = ElementTree.fromstring(PICTURE.draw(imports))
    texts = {each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")}
    rooms = {path.parent.name for path in (repository / "components").glob("*/__init__.py")}
    assert {*PICTURE.PACKAGES, PICTURE.HOST, *rooms} <= texts


def test_nothing_in_the_picture_is_outside_of_it(repository: Path) -> None:
    picture = ElementTree.fromstring((repository / "docs" / "architecture.svg").read_text(encoding="utf-8"))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for box in picture.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.get("x", 0)) + float(box.attrib["width"]) <= width
        assert float(box.get("y", 0)) + float(box.attrib["height"]) <= height
    for arrow in picture.iter("{http://www.w3.org/2000/svg}path"):
        assert all(0 <= float(number) <= max(width, height) for number in re.findall(r"[\d.]+", arrow.attrib["d"]))
