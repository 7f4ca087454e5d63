"""The evaluation of a policy: many deterministic episodes in MJX or in MuJoCo in C, and their metrics."""

from mjx_mimic.evaluation.episodes import Evaluation, Outcome, Protocol
from mjx_mimic.evaluation.mjx_engine import run_in_mjx
from mjx_mimic.evaluation.mujoco_engine import run_in_mujoco
from mjx_mimic.evaluation.report import Report, evaluate

__all__ = ["Evaluation", "Outcome", "Protocol", "Report", "evaluate", "run_in_mjx", "run_in_mujoco"]
