"""The solver: what it returns depends on the specification alone, and fits it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic.generate import SPECS
from mjx_mimic.robot.constants import LEGS
from mjx_mimic.synthesis.fixed_point import NotConvergedError, fixed_point
from mjx_mimic.synthesis.leg_kinematics import legs
from mjx_mimic.synthesis.motion_spec import Solution
from mjx_mimic.synthesis.zmp_solver import solve

pytestmark = pytest.mark.slow


NAMES = ("walk", "run", "kick")
"""A symmetric cycle, one with flight, one on a single foot. All nine are held to their files elsewhere."""


@pytest.fixture(scope="module")
def solutions():
    """Each clip's solution by name, solved when first asked for."""
    found: dict[str, Solution] = {}

    def of(name: str) -> Solution:
        if name not in found:
            found[name] = solve(SPECS[name]())
        return found[name]

    return of


def difference(one: Solution, other: Solution) -> float:
    """The largest in any angle, position or quaternion entry."""
    fields = ("root_pos", "root_quat", "dof_pos")
    return max(float(np.abs(getattr(one, field) - getattr(other, field)).max()) for field in fields)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [1e-6, 1e-3])
def test_solution_does_not_depend_on_the_first_guess(solutions, name: str, noise: float):
    solution = solutions(name)
    moved = np.random.default_rng(0).normal(size=solution.root_pos.shape) * noise
    assert difference(solve(solution.spec, solution.root_pos + moved), solution) < 1e-7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("field", "noise"), [("zmp", 1e-12), ("dof_pos", 1e-12), ("com_z", 2e-16)])
def test_rounding_of_the_inputs_does_not_grow(solutions, name: str, field: str, noise: float):
    """The floor's force follows the second derivative of `com_z`, which makes a million of its noise."""
    solution = solutions(name)
    values = getattr(solution.spec, field)
    moved = values + np.random.default_rng(1).normal(size=values.shape) * noise
    assert difference(solve(replace(solution.spec, **{field: moved})), solution) < 1e-7


@pytest.mark.parametrize("name", NAMES)
def test_feet_are_on_their_paths_where_they_stand(solutions, name: str):
    solution = solutions(name)
    root_mat = Rotation.from_quat(solution.root_quat, scalar_first=True).as_matrix()
    for side, foot in enumerate(solution.spec.feet):
        pos, mat, _ = legs()[side].forward(solution.root_pos, root_mat, solution.dof_pos[:, LEGS[side]])
        assert foot.stands.any()
        np.testing.assert_allclose(pos[foot.stands], foot.pos[foot.stands], atol=1e-9)
        np.testing.assert_allclose(mat[foot.stands], foot.mat[foot.stands], atol=1e-9)


def test_a_foot_out_of_reach_is_refused():
    spec = SPECS["squat"]()
    with pytest.raises(ValueError, match=r"squat: (a foot is out of reach|no balanced motion)"):
        solve(replace(spec, com_z=spec.com_z + 0.1))


def test_fixed_point_of_a_map_that_diverges_when_it_is_iterated():
    matrix = np.diag([0.99, -5.0, 0.3])
    found = fixed_point(lambda x: matrix @ x + 1.0, np.zeros(3), 1e-12)
    np.testing.assert_allclose(found, 1.0 / (1.0 - np.diag(matrix)), rtol=1e-10)


def test_fixed_point_that_does_not_exist_is_reported():
    with pytest.raises(NotConvergedError, match="after 20 steps"):
        fixed_point(lambda x: x + 1.0 + 0.1 * np.sin(x), np.zeros(2), 1e-9, most=20)
