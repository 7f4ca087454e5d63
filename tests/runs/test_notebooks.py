"""The notebooks, from start to end on a small budget, and clean as they ship."""

import json
import re
from pathlib import Path

import nbclient
import nbformat
import pytest
from helpers.small_run import SMALL, STEPS

from mjx_mimic.display import gl
from mjx_mimic.runs.plot import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.notebook]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def execute(name: str, folder: Path, monkeypatch, **settings) -> nbformat.NotebookNode:
    """Run a notebook in `folder` with other settings than those of its cell "parameters"."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[2] / ".jax_cache"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (cell,) = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ())]
    for setting, value in settings.items():
        cell.source, found = re.subn(rf"(?m)^{setting} = .*$", f"{setting} = {value!r}", cell.source)
        assert found == 1, setting
    client = nbclient.NotebookClient(book, timeout=900, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return book


def shown(book: nbformat.NotebookNode, kind: str) -> list[str]:
    """Return the outputs of a MIME type, in order."""
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def printed(book: nbformat.NotebookNode) -> str:
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_ships_without_output(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def install_cell(name: str) -> str:
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if "find_spec" in cell.source]
    return source


@pytest.mark.parametrize("name", ["train_g1", "inspect_run"])
@pytest.mark.parametrize("has_gpu", [False, True])
def test_the_first_cell_installs_what_draws(tmp_path, monkeypatch, name, has_gpu):
    """On Colab's GPU machines also the file that leads EGL to the driver, which is not written over."""
    vendor = tmp_path / "10_nvidia.json"
    source = install_cell(name).replace("/usr/share/glvnd/egl_vendor.d/10_nvidia.json", str(vendor))
    commands = []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda program: program if has_gpu or program == "apt-get" else None)
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(str(command)))
    monkeypatch.setattr("sys.platform", "linux")
    exec(source, {"SOURCE": ".."})
    assert sum("libosmesa6" in command for command in commands) == 1
    assert sum("cuda12" in command for command in commands) == has_gpu
    assert vendor.exists() is has_gpu
    if has_gpu:
        assert json.loads(vendor.read_text())["ICD"]["library_path"] == "libEGL_nvidia.so.0"
        vendor.write_text("of the machine")
        exec(source, {"SOURCE": ".."})
        assert vendor.read_text() == "of the machine"


def test_a_video_that_is_not_there_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = nbformat.read(NOTEBOOKS / "train_g1.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code" and "Video(" in cell.source]
    assert len(sources) == 2
    for source in sources:
        *before, shown = [line for line in source.splitlines() if not line.startswith(("!", "from "))]
        names = {"Path": Path, "RUN": "run", "Video": None}
        exec("\n".join(before), names)
        assert eval(shown, names) is None


def test_the_training_notebook_trains_evaluates_and_shows(finished, tmp_path, monkeypatch):
    """With the clip and settings of the run that other tests share, so that its programs are in the cache."""
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)
    settings = {"MOTION": str(finished / "sway.npz"), "RUN": "run", "TOTAL_STEPS": 4 * STEPS}
    book = execute("train_g1", tmp_path, monkeypatch, **settings, EPISODES=2, OPTIONS=list(SMALL))
    assert read_metrics(tmp_path / "run")["samples"][-1] == 4 * STEPS
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["random"]["episodes"] == 2
    assert 0.0 < figures["random"]["total"]["eval_return"]["mean"] <= 300.0
    assert len(shown(book, "image/png")) >= 2  # learning curves and the evaluation's plot
    assert (
        len([html for html in shown(book, "text/html") if "<video" in html]) == 2
    )  # the clip and the policy
    assert re.search(r"sway: (good|usable)", printed(book))
    assert (tmp_path / "run.zip").stat().st_size > 10_000


def test_the_inspecting_notebook_shows_a_run(finished, tmp_path, monkeypatch):
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)
    run = str(finished / "whole")
    book = execute("inspect_run", tmp_path, monkeypatch, RUN=run, EPISODES=2, SECONDS=0.4)
    assert len(shown(book, "image/png")) == 4
    assert "eval_return" in printed(book)
    assert len([html for html in shown(book, "text/html") if "<video" in html]) == 1
