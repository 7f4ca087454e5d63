"""One writer per run folder, and a lock that dies with its owner."""

import contextlib
import errno
import os
import signal
import subprocess
import sys

import pytest
from helpers.refusals import refusal

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.errors import DiskFailure, UserError
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import CONFIG_FILE
from mjx_mimic.runs import folder
from mjx_mimic.runs.lock import LOCK_FILE, locked

HOLD = """
import sys, time
from pathlib import Path
from mjx_mimic.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_with_the_owners_pid_until_the_first_is_killed(tmp_path):
    pytest.importorskip("fcntl")
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert "held\n" in iter(owner.stdout.readline, "")
    with pytest.raises(UserError, match=f"process {owner.pid}"), locked(tmp_path):
        pass
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_a_full_disk_is_one_line(tmp_path):
    pytest.importorskip("resource")
    program = (
        "import resource, signal; from pathlib import Path; from mjx_mimic.common import cli\n"
        "from mjx_mimic.runs.lock import locked\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "def main(_):\n"
        "    with locked(Path('.')): return 0\n"
        "cli.run(main)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr


def test_a_folder_that_is_not_there_is_refused_in_a_line(tmp_path):
    with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / "nowhere"):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    assert "warning" in (text := capsys.readouterr().out)
    assert "start no second training" in text


def test_a_new_folder_goes_again_where_no_run_comes_of_it(tmp_path):
    def write_and_stop(run, files):
        with folder.claimed(run):
            for name in files:
                (run / name).touch()
            raise KeyboardInterrupt

    def stop(run, *files):
        with pytest.raises(KeyboardInterrupt):
            write_and_stop(run, files)
        return run.exists() and sorted(file.name for file in run.iterdir())

    assert stop(tmp_path / "nothing") is False
    assert stop(tmp_path / "run", CONFIG_FILE) == [LOCK_FILE, CONFIG_FILE]
    assert stop(tmp_path / "visited", "notes.txt") == ["notes.txt"]
    (tmp_path / "there").mkdir()
    assert stop(tmp_path / "there") == [LOCK_FILE]


def test_a_run_that_came_just_before_the_lock_is_neither_joined_nor_removed(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def late(run):
        (run / CONFIG_FILE).touch()
        yield

    monkeypatch.setattr(folder, "locked", late)
    claimed = folder.claimed(tmp_path / "run")
    assert "holds a run already" in refusal(claimed.__enter__)
    assert (tmp_path / "run" / CONFIG_FILE).exists()


def test_a_start_whose_clips_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    for error in (UserError("the folder is gone"), DiskFailure("the disk is full"), KeyboardInterrupt()):

        def fail(run, clips, error=error):
            raise error

        monkeypatch.setattr(folder.own_clips, "write", fail)
        started = folder.new_run(tmp_path / "run", TrainConfig(), Clips((), ()), devices=1)
        with pytest.raises(type(error)):
            started.__enter__()
        assert not (tmp_path / "run").exists()
