"""The evaluation of a policy: many deterministic episodes in MJX or in MuJoCo in C, and their metrics."""

from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episode import Outcome
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.force_limit import ForceLimits, find_limits
from mjx_mimic.evaluation.grid import Grid, evaluate_grid
from mjx_mimic.evaluation.mjx_engine import run_in_mjx
from mjx_mimic.evaluation.mujoco_engine import run_in_mujoco
from mjx_mimic.evaluation.protocol import Protocol
from mjx_mimic.evaluation.report import Report, check_recording, evaluate

__all__ = [
    "Engine",
    "Evaluation",
    "ForceLimits",
    "Grid",
    "Outcome",
    "Protocol",
    "Report",
    "check_recording",
    "evaluate",
    "evaluate_grid",
    "find_limits",
    "run_in_mjx",
    "run_in_mujoco",
]
