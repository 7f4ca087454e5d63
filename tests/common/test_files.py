"""Files are written whole or not at all, and what stands in the way is one line."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest
from helpers.refusals import refusal

import mjx_mimic
from mjx_mimic.common.errors import DiskFailure
from mjx_mimic.common.files import read_text, read_yaml, replacing, require_space, require_writable

LONGEST = "x" * 255


def write(path, contents: bytes = b"new") -> None:
    with replacing(path) as file:
        file.write(contents)


def test_a_file_is_replaced_at_the_end_and_its_name_may_be_as_long_as_names_are(tmp_path):
    path = tmp_path / LONGEST
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    require_writable("--out", path)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ValueError])
def test_a_file_that_is_not_finished_is_not_there(tmp_path, error):
    with pytest.raises(error), replacing(tmp_path / "file"):
        raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [LONGEST + "x", "folder", "none/file", "file/file", "pipe", "a\0b", ""])
def test_what_no_file_can_replace_is_a_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / name
    for message in (refusal(write, path), refusal(require_writable, "--out", path)):
        assert str(path).replace("\0", "\\x00") in message
        assert "cannot be written (" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_settings_are_not_read_from_a_pipe(tmp_path):
    """It would be waited for without end."""
    os.mkfifo(tmp_path / "pipe.yaml")
    for read in (read_yaml, read_text):
        assert "is a folder, a pipe or a device" in refusal(read, tmp_path / "pipe.yaml")


def test_a_device_is_not_replaced_by_a_file():
    assert "device" in refusal(write, os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_full_disk_is_a_failure_and_not_bad_input(tmp_path, number):
    (tmp_path / "file").write_bytes(b"old")
    with (
        pytest.raises(DiskFailure, match=r"file: cannot be written .*; make space"),
        replacing(tmp_path / "file"),
    ):
        raise OSError(number, os.strerror(number))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_other_code_writes_files():
    """What writes by itself leaves half a file behind when it is stopped."""
    writing = re.compile(
        r"\.write_(text|bytes)\(|open\([^)]*[\"'][wx]b?[\"']|(savefig|save|savez|savetxt)\(path"
    )
    package = Path(mjx_mimic.__file__).parent
    code = {
        file.relative_to(package).as_posix(): file.read_text().replace("open(os.devnull, ", "")
        for file in package.rglob("*.py")
    }
    assert {name for name, text in code.items() if writing.search(text)} == {"common/files.py"}


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/file").write_bytes(b"old")
    for name, target in (("link", "store/file"), ("dangling", "store/new")):
        (tmp_path / name).symlink_to(target)
        require_writable("--out", tmp_path / name)
        with replacing(tmp_path / name) as file:
            file.write(b"new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_bytes() == b"new"
    assert sorted(entry.name for entry in (tmp_path / "store").iterdir()) == ["file", "new"]


def test_space_is_reserved_for_a_moment(tmp_path, monkeypatch):
    require_space(tmp_path / "new", 2**20)
    assert not list((tmp_path / "new").iterdir())

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFailure, match="make space on the disk"):
        require_space(tmp_path / "new", 2**20)
    assert not list((tmp_path / "new").iterdir())


def test_a_name_that_stands_twice_in_a_mapping_is_refused_with_its_line(tmp_path):
    file = tmp_path / "set.yaml"
    for text, name, line in (
        ("a: 1\nb: 2\na: 3", "a", 3),
        ("x: {a: {c: 1, c: 2}}", "c", 1),
        ("list:\n- a: 1\n  'a': 2", "a", 3),
        ("1: a\n0x1: b", "1", 2),
    ):
        file.write_text(text)
        message = refusal(read_yaml, file)
        assert f"set.yaml: line {line}: " in message
        assert f"{name} stands there twice; leave one" in message
    file.write_text("a: {c: 1}\nb: {c: 1}\nlist: [{c: 1}, {c: 2}]")
    assert read_yaml(file) == {"a": {"c": 1}, "b": {"c": 1}, "list": [{"c": 1}, {"c": 2}]}
