"""The generated tables of the documents."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mjx_mimic.clips import load_motion
from mjx_mimic.task import make_env

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_tables.py"


@pytest.fixture(scope="module")
def generator():
    return runpy.run_path(str(GENERATOR))


@pytest.fixture(scope="module")
def tables(generator):
    return generator["make_tables"]()


def test_the_documents_are_up_to_date(generator, tables):
    assert generator["update"](GENERATOR.parent, tables, check=True) == []


def test_a_page_that_is_out_of_date_is_found_and_filled(generator, tables, tmp_path):
    for page in generator["PAGES"]:
        text = (GENERATOR.parent / page).read_text("utf-8")
        (tmp_path / page).write_text(text.replace("| joint angles | 29 |", "| joint angles | 30 |"), "utf-8")
    assert generator["update"](tmp_path, tables, check=True) == ["reference.md"]
    assert "| joint angles | 30 |" in (tmp_path / "reference.md").read_text("utf-8")
    assert generator["update"](tmp_path, tables, check=False) == ["reference.md"]
    assert generator["update"](tmp_path, tables, check=True) == []


def test_a_block_takes_its_table_and_nothing_else_changes(generator):
    text = "before\n<!-- generated: sizes -->\nold\n<!-- end -->\nafter\n"
    expected = "before\n<!-- generated: sizes -->\n\nnew\n\n<!-- end -->\nafter\n"
    assert generator["filled"](text, {"sizes": "new"}) == expected
    assert generator["filled"](expected, {"sizes": "new"}) == expected


def test_parts_stand_in_the_order_of_the_observation(generator):
    env = make_env([load_motion("walk")])
    sizes = env.observation_sizes()

    @jax.jit
    def observe(time):
        state = env.reset_to(jnp.int32(0), time)
        return env.observe(state), env.observation_parts(state)

    observation, parts = observe(0.3)
    pieces = np.split(observation, np.cumsum(list(sizes.values()))[:-1])
    for (name, size), piece in zip(sizes.items(), pieces, strict=True):
        assert piece.shape == (size,), name
        np.testing.assert_allclose(piece, parts[name], atol=1e-6, err_msg=name)


def test_a_preset_is_told_by_all_disturbances_and_by_what_else_is_not_the_default(generator, tables):
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in tables["presets"].splitlines()[2:]
    ]
    told = {option: (default, robust, deploy) for option, _, default, robust, deploy in rows}
    assert told["`--env.history`"] == ("1", "1", "4")
    assert told["`--env.randomization.mass`"] == ("1", "0.9 to 1.1", "0.9 to 1.1")
    assert told["`--env.self-collision`"] == ("no", "yes", "yes")
    assert all(meaning for _, meaning, *_ in rows)
    assert told["`--push-turn`"] == ("0", "0", "0")  # a disturbance that no preset has
    others = [
        values for option, values in told.items() if not option[1:].startswith(generator["DISTURBANCES"])
    ]
    assert others
    assert all(len(set(values)) > 1 for values in others)
