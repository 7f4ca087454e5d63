"""The search for files ends, whatever links to what and however much there is."""

import os
from pathlib import Path

import pytest
from helpers.refusals import refusal

from mjx_mimic.common import search
from mjx_mimic.common.search import matching, upwards


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files a/1, a/b/2, a/b/.hidden/3, .4, and [c]/5."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/1", "a/b/2", "a/b/.hidden/3", ".4", "[c]/5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("*/*", ["[c]/5", "a/1"]),
        ("**", ["[c]/5", "a/1", "a/b/2"]),
        ("**/b/*", ["a/b/2"]),
        ("**/**/[12]", ["a/1", "a/b/2"]),
        ("./a/**/?", ["a/1", "a/b/2"]),
        ("a/b/../1", ["a/b/../1"]),
        ("a/b/.h*/3", ["a/b/.hidden/3"]),
        (".*", [".4"]),
        ("[[]c]/*", ["[c]/5"]),
        ("nowhere/**", []),
        ("", []),
        (".", []),
        ("a/1/*", []),
        ("x" * 300 + "*", []),
        ("x" * 300 + "/*", []),
    ],
)
def test_a_pattern_finds_files(folder, pattern, files):
    assert matching(pattern) == files
    assert matching(str(folder / pattern)) == [str(folder / file) for file in files]


def test_links_that_lead_in_a_circle_end(folder, monkeypatch):
    """Two links in each folder make as many paths as there are subsets."""
    for place in ("a/b/up", "a/again", "back"):
        (folder / place).symlink_to(folder, target_is_directory=True)
        (folder / f"{place}_too").symlink_to(folder / "a", target_is_directory=True)
    (folder / "itself").symlink_to(folder / "itself")
    monkeypatch.setattr(search, "MAX_ENTRIES", 100)
    found = matching("**/2")
    assert [os.path.realpath(file) for file in found] == [str(folder / "a/b/2")]


def test_too_much_to_search_is_a_line(folder, monkeypatch):
    monkeypatch.setattr(search, "MAX_ENTRIES", 5)
    assert matching("*") == []
    for pattern in ("**/2", "*/*/*", "/**"):
        message = refusal(matching, pattern)
        assert message.startswith(f"{pattern}: ")
        assert "name the clips' own folder" in message


def test_a_file_is_found_from_a_folder_upwards_then_in_the_current_one(folder, monkeypatch):
    assert upwards("2", folder / "a" / "b") == folder / "a" / "b" / "2"
    assert upwards("a/1", folder / "a" / "b") == folder / "a" / "1"
    monkeypatch.chdir(folder / "a")
    assert upwards("1", folder / "[c]") == Path("1")
    assert upwards("b", folder / "a") is None  # a folder
    for name in ("3", "x" * 300, "a\x00b"):
        assert upwards(name, folder / "a") is None
