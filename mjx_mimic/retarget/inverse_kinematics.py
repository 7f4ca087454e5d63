"""Inverse kinematics of a whole clip: joint angles that bring the robot nearest to its targets."""

import mink
import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.retarget.body_targets import Targets
from mjx_mimic.robot.constants import JOINT_SPEED_LIMIT, SELF_COLLISIONS, SOLE_GEOMS
from mjx_mimic.robot.mjcf import COLLISION_GROUP

Array = NDArray[np.float64]

# Weights per m and per rad.
_STANDING, _SWINGING = 40.0, 8.0
_POSITIONS = {"pelvis": 4.0, "knee_link": 1.0, "elbow_link": 2.0, "wrist_yaw_link": 3.0}
_ROTATIONS = {"pelvis": 2.0, "torso_link": 2.0, "elbow_link": 0.3, "wrist_yaw_link": 0.3}
_NEUTRAL = 0.03  # towards joint angles of 0, for what nothing else decides
_NEUTRAL_WRIST = 0.05
_STEADY = 0.2  # towards the joint angles of the frame before
_SPEED = 0.6  # share of the motors' speed limits
_CLEAR_OF_LIMITS = 1e-3  # rad
# Past a right angle the shoulder has a second way to point that ends at its limits, where an arm gets stuck.
_SHOULDER_ROLL = np.deg2rad(100.0)
_NEAR_FLOOR = 0.2  # m; what is higher cannot reach the floor in a step
_NEAR_ITSELF = 0.1  # m; what is farther from another part cannot reach it in a step
_APART = 0.005  # m, margin for the error of linearisation

_FIRST_ITERATIONS, _ITERATIONS = 100, 12
_SETTLED = 1e-3  # rad or m; a step smaller than this ends a frame's iterations


class FloorLimit(mink.Limit):
    """No collision shape goes below the floor, z = 0.

    Linearised in the shapes' ends: J_z dq >= -clearance. It always has a solution, since the root is free.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Collects the ends of all spheres and capsules of the robot."""
        ends = []
        for geom in np.flatnonzero(model.geom_group == COLLISION_GROUP):
            half = model.geom_size[geom, 1] if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
            ends += [(geom, sign * half) for sign in ((-1.0, 1.0) if half else (0.0,))]
        self.geoms = np.array([geom for geom, _ in ends])
        self.along = np.array([along for _, along in ends])
        self.radius = model.geom_size[self.geoms, 0]

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        """Rows G dq <= h of the ends that are near the floor."""
        model, data = configuration.model, configuration.data
        axis = data.geom_xmat[self.geoms].reshape(-1, 3, 3)[:, :, 2]
        points = data.geom_xpos[self.geoms] + axis * self.along[:, None]
        clearance = points[:, 2] - self.radius
        near = np.flatnonzero(clearance < _NEAR_FLOOR)
        rows = np.empty((len(near), model.nv))
        jacobian = np.empty((3, model.nv))
        for row, end in zip(rows, near, strict=True):
            mujoco.mj_jac(model, data, jacobian, None, points[end], model.geom_bodyid[self.geoms[end]])
            row[:] = -jacobian[2]
        return mink.Constraint(rows, clearance[near])


class ApartLimit(mink.Limit):
    """Arms stay out of the trunk and the thighs, and legs out of each other.

    Linearised in the nearest points of each pair of shapes: n (J_b - J_a) dq >= -distance along the normal n
    from a to b. A pair that is nearer than the margin comes no nearer, so there is always a solution.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Collect the shapes that must not go through one another."""
        self.pairs = [[model.geom(f"{shape}_collision").id for shape in pair] for pair in SELF_COLLISIONS]

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        """Rows G dq <= h of the pairs that are near each other."""
        model, data = configuration.model, configuration.data
        rows, room = [], []
        ends, jacobian = np.empty(6), np.empty((3, model.nv))
        for pair in self.pairs:
            distance = mujoco.mj_geomDistance(model, data, *pair, _NEAR_ITSELF, ends)
            normal = np.copysign(1.0, distance) * (ends[3:] - ends[:3])
            length = np.linalg.norm(normal)
            if distance >= _NEAR_ITSELF or not length:
                continue
            row = np.zeros(model.nv)
            for sign, geom, point in zip((1.0, -1.0), pair, (ends[:3], ends[3:]), strict=True):
                mujoco.mj_jac(model, data, jacobian, None, point, model.geom_bodyid[geom])
                row += sign * (normal / length) @ jacobian
            rows.append(row)
            room.append(max(distance - _APART, 0.0))
        return mink.Constraint(np.reshape(rows, (-1, model.nv)), np.array(room))


def solve(model: mujoco.MjModel, wanted: Targets, fps: float) -> Array:
    """Find qpos (T, 36): each frame from the one before, within joint ranges and speeds, above the floor."""
    configuration = mink.Configuration(model)
    bodies, soles = _body_tasks(wanted), _sole_tasks()
    neutral, steady = _posture_tasks(model)
    ranges = _joint_ranges(model)
    lower, upper = ranges.lower.copy(), ranges.upper.copy()
    limits = [ranges, FloorLimit(model), ApartLimit(model)]
    reach = _SPEED * JOINT_SPEED_LIMIT / fps

    quaternions = {body: rotation.as_quat(scalar_first=True) for body, rotation in wanted.rotations.items()}
    pose = np.concatenate([wanted.positions["pelvis"][0], quaternions["pelvis"][0], np.zeros(model.nq - 7)])
    configuration.update(pose)
    qpos = np.empty((len(wanted.soles), model.nq))
    for frame in range(len(qpos)):
        _aim_bodies(bodies, wanted.positions, quaternions, frame)
        _aim_soles(soles, wanted, frame)
        tasks = [*bodies.values(), *soles, neutral]
        if frame:
            steady.set_target(pose)
            tasks.append(steady)
            ranges.lower[7:] = np.maximum(lower[7:], pose[7:] - reach)
            ranges.upper[7:] = np.minimum(upper[7:], pose[7:] + reach)
        for _ in range(_ITERATIONS if frame else _FIRST_ITERATIONS):
            step = mink.solve_ik(configuration, tasks, 1.0, "daqp", damping=1e-3, limits=limits)
            configuration.integrate_inplace(step, 1.0)
            if np.abs(step).max() < _SETTLED:
                break
        pose = configuration.q.copy()
        qpos[frame] = pose
    return qpos


def _body_tasks(wanted: Targets) -> dict[str, mink.FrameTask]:
    """Make a task for each body that has a weight, by body."""
    tasks = {}
    for body in wanted.positions | wanted.rotations:
        kind = body.removeprefix("left_").removeprefix("right_")
        weights = _POSITIONS.get(kind, 0.0), _ROTATIONS.get(kind, 0.0)
        if any(weights):
            tasks[body] = mink.FrameTask(body, "body", *weights)
    return tasks


def _sole_tasks() -> list[mink.FrameTask]:
    """Make a task for each sole sphere, the left foot's first."""
    return [mink.FrameTask(name, "geom", _SWINGING, 0.0) for foot in SOLE_GEOMS for name in foot]


def _posture_tasks(model: mujoco.MjModel) -> tuple[mink.PostureTask, mink.PostureTask]:
    """Make the tasks that pull towards joint angles of 0, and towards those of the frame before."""
    hinges = np.arange(model.nv) >= 6
    cost = np.where(hinges, _NEUTRAL, 0.0)
    cost[_of_joints(model, "wrist", model.jnt_dofadr)] = _NEUTRAL_WRIST
    neutral = mink.PostureTask(model, cost)
    neutral.set_target(np.eye(model.nq)[3])
    return neutral, mink.PostureTask(model, hinges * _STEADY)


def _joint_ranges(model: mujoco.MjModel) -> mink.ConfigurationLimit:
    """Make the limit that keeps joints in their ranges, and shoulders from getting stuck."""
    ranges = mink.ConfigurationLimit(model, min_distance_from_limits=_CLEAR_OF_LIMITS)
    rolls = _of_joints(model, "shoulder_roll", model.jnt_qposadr)
    ranges.lower[rolls] = np.maximum(ranges.lower[rolls], -_SHOULDER_ROLL)
    ranges.upper[rolls] = np.minimum(ranges.upper[rolls], _SHOULDER_ROLL)
    return ranges


def _of_joints(model: mujoco.MjModel, word: str, addresses: NDArray) -> list[int]:
    """Select the `addresses` (by joint) of the joints with `word` in their names."""
    return [int(addresses[joint]) for joint in range(model.njnt) if word in model.joint(joint).name]


def _aim_bodies(
    tasks: dict[str, mink.FrameTask],
    positions: dict[str, Array],
    quaternions: dict[str, Array],
    frame: int,
) -> None:
    """Set the targets of the bodies; what a body lacks has no weight."""
    for body, task in tasks.items():
        quaternion = quaternions[body][frame] if body in quaternions else np.eye(4)[0]
        position = positions[body][frame] if body in positions else np.zeros(3)
        task.set_target(mink.SE3(np.concatenate([quaternion, position])))


def _aim_soles(tasks: list[mink.FrameTask], wanted: Targets, frame: int) -> None:
    """Set the targets of the sole spheres, and their weights by whether they stand."""
    positions, standing = wanted.soles[frame].reshape(-1, 3), wanted.standing[frame].ravel()
    for task, position, stands in zip(tasks, positions, standing, strict=True):
        task.set_target(mink.SE3.from_translation(position))
        task.set_position_cost(_STANDING if stands else _SWINGING)
