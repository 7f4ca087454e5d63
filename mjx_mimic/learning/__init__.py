"""Learning: networks, the policy, PPO, and the fused training step that is compiled for all devices."""

from mjx_mimic.learning.learner import Learner, TrainState, make_learner
from mjx_mimic.learning.policy import Policy, ValueFunction

__all__ = ["Learner", "Policy", "TrainState", "ValueFunction", "make_learner"]
