"""What files and folders may be called."""

import pytest

from mjx_mimic.common.paths import file_name

TEXTS = ("walk", "行走", "踢腿", "कि", "की", "e\u0301", "e", ".", "..", "...", ".a", "a.", "", " ")


def test_names_of_any_script_stay_apart():
    assert file_name("行走 2") == "行走_2"
    assert file_name("ppo.clip=0.1") == "ppo.clip=0.1"
    assert [file_name(text) for text in ("", " ", ".")] == ["_"] * 3
    assert len({file_name(text) for text in TEXTS}) == len(TEXTS) - 2  # all others differ


@pytest.mark.parametrize(
    "text", [*TEXTS, "a/b\\c:d*e", "\0\n\u202e\u2028\udcff", "x" * 300, "\U00020000" * 300]
)
def test_a_name_is_legal_in_every_file_system(tmp_path, text):
    name = file_name(text)
    assert not set(name) & set('/\\:*?"<>| ')
    assert name.isprintable()
    assert name.strip(".") == name != ""
    assert len(name.encode()) <= 200  # a number or a date comes after it
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]
