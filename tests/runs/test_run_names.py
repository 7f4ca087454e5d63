"""The name that a run folder has by default, whatever its clip is called."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_run import SMALL, sway

from mjx_mimic import train
from mjx_mimic.clips.formats import native
from mjx_mimic.runs import folder


@pytest.mark.parametrize("name", ["../../elsewhere", "/", "a b\u00e9c", "x" * 300, ".."])
def test_a_run_is_in_a_folder_of_its_own_in_runs(tmp_path, monkeypatch, name):
    class MadeError(Exception):
        pass

    def claim(path):
        raise MadeError(path)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "claim", claim)
    native.write(tmp_path / "sway.npz", replace(sway(), name=name))
    with pytest.raises(MadeError) as made:
        train.main(["--motion", "sway.npz", *SMALL])
    path = made.value.args[0]
    assert path.parent == Path("runs")
    assert path.name not in ("", "..")
    path.mkdir(parents=True)
