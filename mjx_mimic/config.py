"""Settings of a training as frozen dataclasses, and presets of them."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class EnvConfig:
    """The task: what the policy sees, what its actions mean, what it is paid for, when an episode ends."""

    observation: Literal["compact", "mimickit", "paper"] = "compact"
    """Layout of the observation."""
    action: Literal["reference", "mimickit"] = "reference"
    """Centre and scale of the PD targets: on the reference pose, or MimicKit's fixed joint ranges."""
    action_scale: float = 0.5
    """With `reference`: share of a motor's effort limit that one unit of action asks for."""
    reward: Literal["mimickit", "paper"] = "mimickit"
    """MimicKit's five terms, or the four of the DeepMimic paper."""
    track_root: bool = True
    """Whether MimicKit's reward counts the root's place and heading in the world."""
    max_deviation: float = 0.5
    """Early termination when a body is farther than this from its reference, m."""
    episode_seconds: float = 10.0
    """Length of an episode, s."""
    control_hz: float = 30.0
    """Rate of actions, 1/s."""
    physics_hz: float = 180.0
    """Rate of physics steps, 1/s; a multiple of the control rate."""
    contacts: Literal["feet", "full"] = "feet"
    """Which geoms touch the floor: soles alone, or hands, knees, elbows, pelvis, torso and head too."""


@dataclass(frozen=True)
class NetworkConfig:
    actor_hidden: tuple[int, ...] = (256, 256)
    """Widths of the policy's hidden layers."""
    critic_hidden: tuple[int, ...] = (256, 256)
    """Widths of the value's hidden layers."""
    activation: Literal["elu", "relu", "silu", "tanh"] = "elu"
    """Activation of the hidden layers."""
    initial_std: float = 0.2
    """Standard deviation of the policy at the start, in units of action."""
    learn_std: bool = True
    """Whether the standard deviation is learned, one number a joint, or stays."""


@dataclass(frozen=True)
class PPOConfig:
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or SGD with momentum 0.9."""
    actor_rate: float = 5e-4
    """Step size of the policy (at the start, where target_kl is set)."""
    critic_rate: float = 1e-3
    """Step size of the value."""
    target_kl: float | None = 0.01
    """KL divergence of a minibatch that the policy's step size is steered to; none: constant."""
    min_rate: float = 1e-5
    """Lower limit of the steered step size."""
    max_rate: float = 2e-3
    """Upper limit of the steered step size."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    discount: float = 0.97
    """gamma, a control step."""
    gae_lambda: float = 0.95
    """lambda of the advantages."""
    td_lambda: float = 0.95
    """lambda of the value targets."""
    clip: float = 0.2
    """Limit of the probability ratio."""
    advantage_clip: float = 4.0
    """Limit of the normalised advantage, standard deviations."""
    actor_epochs: int = 4
    """Passes over a rollout for the policy."""
    critic_epochs: int = 4
    """Passes over a rollout for the value."""
    actor_minibatches: int = 4
    """Steps a pass for the policy."""
    critic_minibatches: int = 4
    """Steps a pass for the value."""
    action_bound_weight: float = 1.0
    """Weight of the loss on mean actions outside [-1, 1]."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus."""


@dataclass(frozen=True)
class TrainConfig:
    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    num_envs: int = 256
    """Parallel environments, on all devices together."""
    unroll_length: int = 32
    """Control steps of a rollout between updates."""
    eval_envs: int = 64
    """Parallel environments of a test, on all devices together."""
