"""What a control step starts from and what it yields."""

import jax
from flax import struct

from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task import termination
from mjx_mimic.task.dynamics import Dynamics
from mjx_mimic.task.goals import GoalState
from mjx_mimic.task.reward import RewardTerms
from mjx_mimic.task.skills import SkillState
from mjx_mimic.task.tracking_errors import TrackingErrors


@struct.dataclass
class EnvState:
    """All that a control step needs: coordinates, solver warm start, place in the clip, the episode so far.

    An `mjx.Data` is about 50 kB, and everything else in it follows from these.
    """

    qpos: jax.Array  # (36,)
    qvel: jax.Array  # (35,)
    warm_start: jax.Array  # (35,) the last accelerations, where the constraint solver starts
    clip: jax.Array  # () int
    start_time: jax.Array  # () s, time in the clip at the episode's start, or where a skill has begun
    steps: jax.Array  # () int, control steps of the episode
    episode_return: jax.Array  # ()
    dynamics: Dynamics = Dynamics()  # how this robot differs from the model
    action: jax.Array | None = None  # (J,) the last one; None: neither observed nor penalised
    history: jax.Array | None = None  # (K - 1, R) readings of the control steps before, the newest first
    targets: jax.Array | None = None  # (H, J) rad, PD targets before, the newest first; None: no delay
    goal: GoalState | None = None  # None: imitation alone
    skills: SkillState | None = None  # None: an episode has one clip


@struct.dataclass
class Arrival:
    """What a control step came to: the robot at its end, its reference, and how it is scored by both."""

    state: EnvState  # with the clip by which the step is scored; goal and skills are not advanced yet
    character: CharacterState  # the robot's bodies
    target: CharacterState  # those of the reference
    causes: termination.Causes
    reward_terms: RewardTerms
    reward: jax.Array  # () for the imitation and the goal; without meaning where `causes.nonfinite`


@struct.dataclass
class StepResult:
    """What a control step yields.

    `final_observation` is that of the state before any reset; it is not finite where `causes.nonfinite` says
    that the state is not.
    """

    observation: jax.Array  # (O,) after a reset if there was one
    final_observation: jax.Array  # (O,) before it
    reward: jax.Array  # () for the imitation and the goal
    penalty: jax.Array  # () that training takes off it
    reward_terms: RewardTerms
    errors: TrackingErrors  # before any reset; costs nothing where nobody reads it
    causes: termination.Causes
    episode_return: jax.Array  # () so far, this step included
    episode_length: jax.Array  # () int, likewise
    segment: jax.Array  # () int, of the clips where the step began; see `start_sampling`
    goal_reward: jax.Array | None = None  # () None: imitation alone
    goal_results: dict[str, jax.Array] = struct.field(default_factory=dict)  # () so far; see `Goal.results`


@struct.dataclass
class PhysicsTrace:
    """Joints at the end of each of the S physics steps of a control step, by which the motors act."""

    dof_pos: jax.Array  # (S, J) rad
    dof_vel: jax.Array  # (S, J) rad/s
    self_contact: jax.Array | None = None  # (S,) m, summed depths of parts in others; None: not penalised
