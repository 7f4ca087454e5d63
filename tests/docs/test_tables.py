"""The generated tables of the documents."""

import runpy
from pathlib import Path

import pytest

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_tables.py"


@pytest.fixture(scope="module")
def generator():
    return runpy.run_path(str(GENERATOR))


def test_the_documents_are_up_to_date(generator, capsys):
    assert generator["main"](["--check"]) == 0, capsys.readouterr().out


def test_check_finds_a_table_that_is_out_of_date(generator, tmp_path, capsys):
    for page in generator["PAGES"]:
        text = (GENERATOR.parent / page).read_text("utf-8")
        (tmp_path / page).write_text(text.replace("| 29 |", "| 30 |"), "utf-8")
    generator["main"].__globals__["DOCS"] = tmp_path
    assert generator["main"](["--check"]) == 1
    assert "reference.md" in capsys.readouterr().out
    assert "| 30 |" in (tmp_path / "reference.md").read_text("utf-8")


def test_a_block_takes_its_table_and_nothing_else_changes(generator):
    text = "before\n<!-- generated: sizes -->\nold\n<!-- end -->\nafter\n"
    expected = "before\n<!-- generated: sizes -->\n\nnew\n\n<!-- end -->\nafter\n"
    assert generator["filled"](text, {"sizes": "new"}) == expected
    assert generator["filled"](expected, {"sizes": "new"}) == expected
