"""The imitation task: reference lookup, observation, reward, termination, and the environment of all four.

from mjx_mimic.clips import load_motion
from mjx_mimic.task import make_env

env = make_env([load_motion("walk")])
state, observation = jax.jit(env.reset)(jax.random.key(0))
"""

from mjx_mimic.config import EnvConfig
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.reference import MotionLibrary, make_library
from mjx_mimic.task.states import EnvState, StepResult

__all__ = [
    "EnvConfig",
    "EnvState",
    "ImitationEnv",
    "MotionLibrary",
    "StepResult",
    "make_env",
    "make_library",
]
