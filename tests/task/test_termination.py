"""Why episodes end, state by state: limits from both sides, and which causes leave a future."""

import itertools
from dataclasses import fields

import numpy as np
import pytest

from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task import termination
from mjx_mimic.task.termination import Causes

STATES, BODIES, GEOMS = 5, 4, 3
FAILURES = ("fall", "deviation", "nonfinite")


def character(**arrays: np.ndarray) -> CharacterState:
    """States of which only `arrays` may be read."""
    return CharacterState(**{field.name: arrays.get(field.name) for field in fields(CharacterState)})


def test_a_robot_has_fallen_when_any_guarded_geom_is_below_the_floor():
    clearance = np.full((STATES, GEOMS), 0.3, np.float32)
    clearance[1, 2] = -1e-6
    clearance[2] = 0.0  # it touches the floor, and no more
    clearance[3] = -0.1
    fallen = termination.has_fallen(character(clearance=clearance))
    np.testing.assert_array_equal(fallen, [False, True, False, True, False])


@pytest.mark.parametrize("limit", [0.5, 1.0, 3.0])
def test_a_robot_has_deviated_when_any_body_is_farther_than_the_limit(limit):
    """The distance is that of space, not of an axis: along (2, 3, 6) / 7 no coordinate reaches the limit."""
    reference = np.random.default_rng(0).integers(-3, 4, (STATES, BODIES, 3)).astype(np.float32)
    position = reference.copy()
    direction = np.array([2.0, 3.0, -6.0]) / 7.0
    position[1, 2] += 1.001 * limit * direction
    position[2] += 0.999 * limit * direction
    position[3] += 1.001 * limit * direction
    position[4, 0, 0] += limit  # as far as is allowed
    deviated = termination.has_deviated(character(body_pos=position), character(body_pos=reference), limit)
    np.testing.assert_array_equal(deviated, [False, True, False, True, False])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_simulation_is_broken_when_a_single_number_of_it_is(value):
    qpos, qvel = np.zeros((STATES, 8), np.float32), np.zeros((STATES, 7), np.float32)
    qpos[1, 7], qvel[2, 6], qpos[3], qvel[3] = value, value, value, value
    np.testing.assert_array_equal(termination.is_nonfinite(qpos, qvel), [False, True, True, True, False])


@pytest.mark.parametrize(
    ("speed", "broken"), [(999.0, False), (-999.0, False), (1000.0, True), (1001.0, True), (-1001.0, True)]
)
def test_a_speed_of_a_thousand_is_absurd_and_a_place_far_away_is_not(speed, broken):
    qpos, qvel = np.full((2, 8), 1e6, np.float32), np.zeros((2, 7), np.float32)
    qvel[1, 3] = speed
    np.testing.assert_array_equal(termination.is_nonfinite(qpos, qvel), [False, broken])


def test_failures_terminate_and_the_clips_or_the_times_end_truncates_unless_it_fails():
    """Of all 32 combinations none does both, and only the one without any cause does neither."""
    names = [field.name for field in fields(Causes)]
    for flags in itertools.product((False, True), repeat=len(names)):
        given = dict(zip(names, flags, strict=True))
        causes = Causes(**{name: np.array(flag) for name, flag in given.items()})
        failed = any(given[name] for name in FAILURES)
        assert causes.terminated == failed
        assert causes.truncated == (any(flags) and not failed)


@pytest.mark.parametrize("leading", [(), (6,), (3, 2), (3, 1, 2)])
def test_states_are_judged_one_by_one_whatever_their_leading_axes(leading):
    draw = np.random.default_rng(1)
    count = int(np.prod(leading))
    size = np.linspace(0.5, 1.5, count)[:, None]  # the first rows are well, the last are not
    arrays = {
        "clearance": 1.0 - size * draw.uniform(0.8, 1.0, (count, GEOMS)),
        "body_pos": size[..., None] * draw.uniform(0.5, 0.6, (count, BODIES, 3)),
        "qpos": np.zeros((count, 8)),
        "qvel": size * draw.uniform(800.0, 1000.0, (count, 7)),
    }

    def judged(shape: tuple[int, ...], rows: slice) -> list[np.ndarray]:
        found = {name: array[rows].reshape(*shape, *array.shape[1:]) for name, array in arrays.items()}
        state = character(clearance=found["clearance"], body_pos=found["body_pos"])
        origin = character(body_pos=np.zeros_like(found["body_pos"]))
        return [
            np.asarray(termination.has_fallen(state)),
            np.asarray(termination.has_deviated(state, origin, 1.0)),
            np.asarray(termination.is_nonfinite(found["qpos"], found["qvel"])),
        ]

    single = [judged((), slice(i, i + 1)) for i in range(count)]
    for together, *alone in zip(judged(leading, slice(None)), *single, strict=True):
        assert together.shape == leading
        np.testing.assert_array_equal(together.ravel(), alone)
        assert len(alone) == 1 or 0 < np.sum(alone) < count
