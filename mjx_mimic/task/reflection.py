"""The reflection of the robot left to right: of its state, of its actions, and of what it observes."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from mjx_mimic.config import MOST_DELAY
from mjx_mimic.robot.constants import MIRROR_INDEX, MIRROR_QUAT, MIRROR_SIGN, MIRROR_VECTOR
from mjx_mimic.task import dynamics, skills
from mjx_mimic.task.dynamics import Dynamics
from mjx_mimic.task.observation import concatenated
from mjx_mimic.task.states import EnvState

if TYPE_CHECKING:
    from mjx_mimic.task.env import ImitationEnv

PROBES = 64
"""Random states that tell which number of an observation becomes which."""
TOLERANCE = 2e-3
"""How far two numbers of an observation may be apart that are one and the same, in float32."""


@dataclass(frozen=True)
class Reflection:
    """A reflection of arrays (..., n): each number of the result is one of the array's, with a sign."""

    index: tuple[int, ...]
    sign: tuple[float, ...]

    def __call__(self, values: jax.Array) -> jax.Array:
        """Return the reflected array (..., n)."""
        return values[..., np.array(self.index)] * np.array(self.sign, np.float32)

    def first(self, count: int | None) -> Self:
        """Return that of the first numbers, which are reflected among themselves; None: of all."""
        return replace(self, index=self.index[:count], sign=self.sign[:count])


JOINTS = Reflection(tuple(map(int, MIRROR_INDEX)), tuple(map(float, MIRROR_SIGN[MIRROR_INDEX])))
"""Of joint angles, joint velocities and actions (..., 29)."""
EACH_JOINT = replace(JOINTS, sign=(1.0,) * len(MIRROR_INDEX))
"""Of what each joint has and is no angle (..., 29)."""
VECTOR = Reflection((0, 1, 2), tuple(map(float, MIRROR_VECTOR)))
"""Of vectors (..., 3) whose second number is to the left."""
ROOT_POSITION = np.concatenate([MIRROR_VECTOR, MIRROR_QUAT])
"""Signs of the root's position and quaternion, wxyz."""
ROOT_VELOCITY = np.concatenate([MIRROR_VECTOR, MIRROR_QUAT[1:]])
"""Signs of the root's velocity in the world and of its angular velocity in its own frame."""


def reflected_coordinates(qpos: jax.Array, qvel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return qpos (..., 36) and qvel (..., 35) reflected in the world's plane y = 0."""
    return (
        jnp.concatenate([qpos[..., :7] * ROOT_POSITION, JOINTS(qpos[..., 7:])], axis=-1),
        jnp.concatenate([qvel[..., :6] * ROOT_VELOCITY, JOINTS(qvel[..., 6:])], axis=-1),
    )


def reflected_dynamics(robot: Dynamics) -> Dynamics:
    """Return the mirror image of a robot that differs from the model."""
    of_fields = {"trunk_com": VECTOR, "gravity": VECTOR, "joint_offset": JOINTS}
    of_fields |= dict.fromkeys(("damping", "armature", "kp", "kd", "strength"), EACH_JOINT)
    changes = {
        name: reflect(value)
        for name, reflect in of_fields.items()
        if (value := getattr(robot, name)) is not None
    }
    return replace(robot, **changes)


class _Probe(NamedTuple):
    """A random state of all that is observed: of the robot, K control steps, this one first."""

    robots: tuple  # (K, 36) and (K, 35), coordinates
    actions: Any  # (K, 29)
    targets: tuple  # of the reference, as `robots`
    own: Dynamics
    under_way: Any  # (D, 29)
    phase: Any  # ()

    def reflected(self) -> "_Probe":
        """Return its mirror image; the phase is the same."""
        return _Probe(
            reflected_coordinates(*self.robots),
            JOINTS(self.actions),
            reflected_coordinates(*self.targets),
            reflected_dynamics(self.own),
            JOINTS(self.under_way),
            self.phase,
        )


def of_observation(env: "ImitationEnv") -> Reflection:
    """Return the reflection of observations (..., O): robot, reference, goal, skill, and the true state.

    The observation of a reflected robot with a reflected reference has the same numbers as that of the robot,
    in another order and some with the other sign. Which ones is found by observing random states and their
    reflections, so that it holds for any layout. Nothing depends on the clips; it can be found while tracing.

    Raises:
        ValueError: a number of the observation has no counterpart, so that networks cannot be symmetric.
    """
    rng, history = np.random.default_rng(0), env.config.history
    drawn = jax.eval_shape(
        lambda key: dynamics.draw(env.config.randomization, env.robot, key), jax.random.key(0)
    )
    is_privileged = env.config.privileged_critic

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=(PROBES, *shape)).astype(np.float32)

    def coordinates(count: int) -> tuple[np.ndarray, np.ndarray]:
        qpos = normal(count, 36)
        qpos[..., 3:7] /= np.linalg.norm(qpos[..., 3:7], axis=-1, keepdims=True)
        return qpos, normal(count, 35)

    def standing(qpos: jax.Array, qvel: jax.Array, action: jax.Array) -> EnvState:
        nothing = jnp.zeros(())
        last = action if env.remembers_action else None
        return EnvState(qpos, qvel, qvel, nothing, nothing, nothing, nothing, action=last)

    def observe(probe: _Probe) -> tuple[jax.Array, jax.Array]:
        state, *before = map(standing, *probe.robots, probe.actions)
        if before:
            state = replace(state, history=jnp.stack(list(map(env.reading, before))))
        ahead, *others = map(env.robot.character_state, *probe.targets)
        seen = dict(zip(env.target_steps, others, strict=True))
        parts = concatenated(env.imitation_parts(state, seen, probe.phase))
        if not is_privileged:
            return parts, parts[:0]
        state = replace(state, dynamics=probe.own, targets=probe.under_way if env.shows_targets else None)
        return parts, concatenated(env.true_parts(state, ahead))

    probes = _Probe(
        robots=coordinates(history),
        actions=normal(history, 29),
        targets=coordinates(1 + len(env.target_steps)),
        own=jax.tree.map(lambda x: normal(*x.shape), drawn),
        under_way=normal(math.ceil(MOST_DELAY), 29),
        phase=normal(),
    )
    both = jax.jit(jax.vmap(lambda probe: (observe(probe), observe(probe.reflected()))))
    # Compiled ahead of its call, which then runs at once even while something else is traced.
    (seen, true), (reflected_seen, reflected_true) = both.lower(probes).compile()(probes)
    return _joined([_matched(seen, reflected_seen), *_of_task(env), _matched(true, reflected_true)])


def _of_task(env: "ImitationEnv") -> list[Reflection]:
    """Return the reflections of what is seen of a goal (see `Goal.parts`), and of skills."""
    sizes = env.observation_sizes()
    skill = sizes.get(skills.WANTED, 0)
    return [
        *(VECTOR.first(size) for name, size in sizes.items() if name.startswith("goal: ")),
        Reflection(tuple(range(skill)), (1.0,) * skill),
    ]


def _joined(parts: list[Reflection]) -> Reflection:
    """Return the reflection of parts that follow one another."""
    index: list[int] = []
    for part in parts:
        first = len(index)
        index += [first + number for number in part.index]
    return Reflection(tuple(index), tuple(sign for part in parts for sign in part.sign))


def _matched(own: jax.Array, reflected: jax.Array) -> Reflection:
    """Find for each column of `reflected` (P, O) the one of `own` (P, O) that it is, up to its sign."""
    before, after = np.asarray(own, np.float64), np.asarray(reflected, np.float64)
    index, sign = [], []
    for column, values in enumerate(after.T):
        same, opposite = (np.abs(before - side[:, None]).max(axis=0) for side in (values, -values))
        apart = np.minimum(same, opposite)
        found = column if apart[column] < TOLERANCE else int(apart.argmin())
        if apart[found] >= TOLERANCE:
            raise ValueError(f"number {column} of the observation has no reflection")
        index.append(found)
        sign.append(1.0 if same[found] <= opposite[found] else -1.0)
    return Reflection(tuple(index), tuple(sign))
