"""The walk from the DeepMimic paper to the code, in two languages: it names what exists and says the same."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {"English": ROOT / "docs" / "deepmimic.md", "Chinese": ROOT / "docs" / "deepmimic.zh.md"}

REFERENCE = re.compile(r"`((?:mjx_mimic|tests)/[\w/]+\.py)::([\w.]+)`")
"""How the pages name a function, class, method, field or constant, and a test: `file.py::Class.method`."""
SETTING = re.compile(r"^\|[^|]*\| `mjx_mimic/config\.py::(\w+\.\w+)` \| ([^|]+?) \|", re.MULTILINE)
"""A row of the table of settings: symbol, setting, default."""
FORMULA = re.compile(r"^\$\$\n(.+?)\n\$\$$", re.MULTILINE | re.DOTALL)
INLINE_FORMULA = re.compile(r"(?<!\$)\$(?!\$)[^$\n]+\$(?!\$)")


@functools.cache
def definitions(path: Path) -> dict[str, ast.AST | None]:
    """Return what a file defines by dotted name; for a name with a value, that value."""
    found: dict[str, ast.AST | None] = {}

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[prefix + node.name] = None
                if isinstance(node, ast.ClassDef):
                    collect(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[prefix + node.target.id] = node.value
            elif isinstance(node, ast.Assign):
                found.update({prefix + t.id: node.value for t in node.targets if isinstance(t, ast.Name)})

    collect(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def text_of(language: str) -> str:
    return PAGES[language].read_text(encoding="utf-8")


def sections(language: str) -> list[str]:
    """Return the page cut at its headings."""
    return re.split(r"^(?=#+ )", text_of(language), flags=re.MULTILINE)[1:]


def references(text: str) -> list[tuple[str, str]]:
    return REFERENCE.findall(text)


@pytest.mark.parametrize("language", PAGES)
def test_everything_named_exists(language):
    named = references(text_of(language))
    assert len(named) > 50
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in definitions(ROOT / file)
    ]
    assert not missing


@pytest.mark.parametrize("language", PAGES)
def test_every_name_with_a_file_is_written_so_that_it_is_checked(language):
    text = text_of(language)
    assert len(re.findall(r"\.py::", text)) == len(references(text))


@pytest.mark.parametrize("language", PAGES)
def test_what_stands_for_a_test_is_a_test(language):
    for file, name in references(text_of(language)):
        if file.startswith("tests/"):
            assert name.startswith("test_"), f"{file}::{name}"
            assert Path(file).name.startswith("test_"), f"{file}::{name}"


@pytest.mark.parametrize("language", PAGES)
def test_the_table_of_settings_holds_the_defaults(language):
    settings = SETTING.findall(text_of(language))
    assert len(settings) > 10
    defaults = definitions(ROOT / "mjx_mimic" / "config.py")
    for name, stated in settings:
        assert ast.literal_eval(stated) == ast.literal_eval(defaults[name]), name


def test_both_pages_have_the_same_sections_references_and_formulas():
    english, chinese = sections("English"), sections("Chinese")
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        heading = ours.splitlines()[0]
        assert ours.split(" ")[0] == theirs.split(" ")[0], heading  # the heading's level
        assert set(references(ours)) == set(references(theirs)), heading
        assert FORMULA.findall(ours) == FORMULA.findall(theirs), heading


@pytest.mark.parametrize("language", PAGES)
def test_formulas_are_written_as_github_and_katex_read_them(language):
    text = text_of(language)
    outside = FORMULA.sub("", text)
    assert "$$" not in outside, "a display formula stands between two lines of $$"
    formulas = FORMULA.findall(text) + [found.group() for found in INLINE_FORMULA.finditer(outside)]
    assert len(formulas) > 20
    for formula in formulas:
        # Markdown takes a backslash before punctuation for an escape, and GitHub forbids \operatorname.
        assert not re.search(r"\\[^a-zA-Z]|\\operatorname", formula), formula
    # GitHub sees a formula only between spaces or ASCII punctuation, not beside a Chinese character.
    for found in INLINE_FORMULA.finditer(outside):
        before, after = outside[found.start() - 1], outside[found.end()]
        assert before in " \n(", found.group()
        assert after in " \n,.;:)", found.group()
