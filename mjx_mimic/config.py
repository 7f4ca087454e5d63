"""The settings of a training: frozen dataclasses, presets, and limits."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mjx_mimic.common.errors import UserError


@dataclass(frozen=True)
class EnvConfig:
    """The task: observation, action, reward, termination, rates and contacts."""

    observation: Literal["compact", "mimickit", "mimickit-local", "paper"] = "compact"
    """Layout of the observation; the documents list the parts of each."""
    action: Literal["reference", "mimickit"] = "reference"
    """Centre and scale of the PD targets: the reference pose and a share of the effort, or MimicKit's fixed
    joint ranges."""
    action_scale: float = 0.5
    """With the action `reference`: share of a motor's effort limit that one unit of action asks for."""
    reward: Literal["mimickit", "paper"] = "mimickit"
    """MimicKit's five terms, or the four of the DeepMimic paper."""
    track_root: bool = True
    """Whether MimicKit's reward counts the root's position and heading in the world."""
    max_deviation: float = 0.5
    """Distance of a body from its reference that ends an episode early, m."""
    episode_seconds: float = 10.0
    """Length of an episode, s."""
    control_hz: float = 30.0
    """Control steps per second."""
    physics_hz: float = 180.0
    """Physics steps per second; a multiple of the control rate."""
    contacts: Literal["feet", "full"] = "feet"
    """What can touch the floor: the soles alone, or hands, knees, elbows, pelvis, torso and head too."""


@dataclass(frozen=True)
class NetworkConfig:
    """The networks of the policy and of the value function."""

    actor_hidden: tuple[int, ...] = (256, 256)
    """Widths of the policy's hidden layers."""
    critic_hidden: tuple[int, ...] = (256, 256)
    """Widths of the value function's hidden layers."""
    activation: Literal["elu", "relu", "silu", "tanh"] = "elu"
    """Activation of the hidden layers."""
    initial_std: float = 0.2
    """Standard deviation of the first policy, in units of action."""
    learn_std: bool = True
    """Whether the standard deviation is learned, one number per joint, or stays as it is."""


@dataclass(frozen=True)
class PPOConfig:
    """The PPO update."""

    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or SGD with momentum 0.9."""
    actor_rate: float = 3e-5
    """Learning rate of the policy; the first one, where target_kl is set."""
    critic_rate: float = 1e-3
    """Learning rate of the value function."""
    target_kl: float | None = 0.015
    """KL divergence per minibatch to which the policy's learning rate is steered; None: it stays constant."""
    min_rate: float = 1e-6
    """Lower limit of the steered learning rate."""
    max_rate: float = 1e-3
    """Upper limit of the steered learning rate."""
    max_grad_norm: float | None = 1.0
    """Global norm to which larger gradients are scaled down; None: never."""
    discount: float = 0.97
    """gamma, per control step."""
    gae_lambda: float = 0.95
    """lambda of the advantages."""
    td_lambda: float = 0.95
    """lambda of the value targets."""
    clip: float = 0.2
    """How far the probability ratio may be from 1 before it is clipped."""
    advantage_clip: float = 4.0
    """Limit of normalised advantages, standard deviations."""
    actor_epochs: int = 4
    """Epochs over a rollout for the policy."""
    critic_epochs: int = 4
    """Epochs over a rollout for the value function."""
    actor_minibatches: int = 4
    """Minibatches per epoch for the policy."""
    critic_minibatches: int = 4
    """Minibatches per epoch for the value function."""
    action_bound_weight: float = 1.0
    """Weight of the loss for mean actions outside [-1, 1]."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training."""

    motion: tuple[str, ...] = ("walk",)
    """Clips to imitate: files, names of bundled clips, folders, patterns such as "clips/*.pkl", or MimicKit's
    YAML lists with weights."""
    motion_weights: tuple[float, ...] = ()
    """How often episodes start in the clips of each --motion, relative to the others; empty: equally."""
    start_sampling: Literal["uniform", "failure"] = "uniform"
    """Where in a clip episodes start: anywhere, or more often where the policy fails."""
    push: float = 0.0
    """Kick the robot in training every 2 s on average, by up to this, m/s. Evaluations are undisturbed."""
    noise: float = 0.0
    """Noise on what the policy observes in training; 1 is about a real robot's."""
    num_envs: int = 0
    """Parallel environments on all devices together; 0: sized for the machine."""
    total_steps: int = 0
    """Samples to train on, which are control steps of all environments; 0: sized for the machine."""
    seed: int = 0
    """Seed of every random number."""
    unroll_length: int = 32
    """Control steps of each environment between two updates."""
    eval_envs: int = 64
    """Episodes per evaluation."""
    eval_interval_s: float = 120.0
    """Time between evaluations, s; each comes with a checkpoint."""
    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)


PRESETS: dict[str, TrainConfig] = {
    "default": TrainConfig(),
    # MimicKit's G1 recipe (data/envs/deepmimic_g1_env.yaml, data/agents/deepmimic_g1_ppo_agent.yaml).
    # Its physics runs at 120 Hz in another engine; ours stays at the default rate.
    "mimickit": TrainConfig(
        num_envs=4096,
        unroll_length=32,
        env=EnvConfig(observation="mimickit", action="mimickit", max_deviation=1.0),
        network=NetworkConfig((1024, 512), (1024, 512), "relu", initial_std=0.05, learn_std=False),
        ppo=PPOConfig(
            optimizer="sgd",
            actor_rate=1e-4,
            critic_rate=1e-4,
            target_kl=None,
            max_grad_norm=None,
            discount=0.99,
            actor_epochs=5,
            actor_minibatches=8,
            critic_epochs=2,
            critic_minibatches=16,
            action_bound_weight=10.0,
        ),
    ),
    # The task of the DeepMimic paper (its reward, and phase in the observation) with our learner.
    "paper": TrainConfig(env=EnvConfig(observation="paper", reward="paper")),
}

# Environments per device, and samples in all, where the user names no number.
ENVS_PER_DEVICE = {"cpu": 128}
TOTAL_STEPS = {"cpu": 12_000_000}
ENVS_PER_ACCELERATOR = 4096
TOTAL_STEPS_ON_ACCELERATOR = 300_000_000


def sized(config: TrainConfig, platform: str, devices: int) -> TrainConfig:
    """Fill in what is 0 for this machine, and check the result against it.

    Raises:
        UserError: a number that cannot be trained with.
    """
    config = replace(
        config,
        num_envs=config.num_envs or ENVS_PER_DEVICE.get(platform, ENVS_PER_ACCELERATOR) * devices,
        total_steps=config.total_steps or TOTAL_STEPS.get(platform, TOTAL_STEPS_ON_ACCELERATOR),
        eval_envs=-(-config.eval_envs // devices) * devices,
    )
    check(config, devices)
    return config


def check(config: TrainConfig, devices: int) -> None:
    """Refuse settings that contradict each other or the machine.

    Raises:
        UserError: with the option and a remedy.
    """
    env, ppo = config.env, config.ppo

    def require(condition: bool, option: str, value: Any, remedy: str) -> None:
        if not condition:
            raise UserError(f"option {option}: {value} will not do; {remedy}")

    require(
        config.num_envs % devices == 0,
        "--num-envs",
        config.num_envs,
        f"use a multiple of {devices}, the number of devices",
    )
    batch = config.num_envs // devices * config.unroll_length
    for name in ("actor_minibatches", "critic_minibatches"):
        count = getattr(ppo, name)
        option = f"--ppo.{name.replace('_', '-')}"
        require(
            count > 0 and batch % count == 0,
            option,
            count,
            f"use a divisor of {batch}, the samples per device and update",
        )
    substeps = env.physics_hz / env.control_hz
    require(
        substeps >= 1 and abs(substeps - round(substeps)) < 1e-6,
        "--env.physics-hz",
        env.physics_hz,
        f"use a multiple of {env.control_hz:g}, the control rate",
    )
    positive: dict[str, float] = {
        "--num-envs": config.num_envs,
        "--total-steps": config.total_steps,
        "--eval-envs": config.eval_envs,
        "--unroll-length": config.unroll_length,
        "--eval-interval-s": config.eval_interval_s,
        "--env.episode-seconds": env.episode_seconds,
        "--env.max-deviation": env.max_deviation,
        "--env.action-scale": env.action_scale,
        "--network.initial-std": config.network.initial_std,
    }
    for option, value in positive.items():
        require(value > 0, option, value, "use a number over 0")
    for option, value in {"--push": config.push, "--noise": config.noise}.items():
        require(0.0 <= value <= 10.0, option, value, "use a number from 0 to 10")
    require(len(config.motion) > 0, "--motion", "no clip", "name at least one")
    weights = config.motion_weights
    require(
        not weights or len(weights) == len(config.motion),
        "--motion-weights",
        weights,
        f"give {len(config.motion)}, one for each --motion",
    )
    require(
        all(w >= 0 for w in weights) and (not weights or sum(weights) > 0),
        "--motion-weights",
        weights,
        "use numbers from 0, not all 0",
    )
