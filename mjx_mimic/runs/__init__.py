"""Run folders: configuration, checkpoints, the metric log, and the loop around the training step."""

from mjx_mimic.config_yaml import read_config
from mjx_mimic.runs.checkpoints import Checkpoints, Progress
from mjx_mimic.runs.folder import load_policy, load_run_clips, load_training_states
from mjx_mimic.runs.training_run import train_run

__all__ = [
    "Checkpoints",
    "Progress",
    "load_policy",
    "load_run_clips",
    "load_training_states",
    "read_config",
    "train_run",
]
