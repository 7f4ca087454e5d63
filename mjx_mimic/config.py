"""The settings of a training: frozen dataclasses, presets, and limits."""

import math
import typing
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal

from mjx_mimic.common.cli import require_range
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS, KEY_BODIES, ContactChoice


@dataclass(frozen=True)
class Within:
    """The numbers that a field may be; where it is a tuple, that each of them may be."""

    low: float
    high: float


Which = Literal["best", "last"] | int
"""Which policy of a run: the best, the last, or that of the kept checkpoint with so many samples."""

Weight = Annotated[float, Within(0.0, 1e6)]
Scale = Annotated[float, Within(0.0, 1e6)]


@dataclass(frozen=True)
class MimicKitRewardConfig:
    """MimicKit's reward: the sum of weight exp(-scale error) over its terms; the values are the G1's."""

    pose_weight: Weight = 0.5
    """Weight of the joint angles."""
    velocity_weight: Weight = 0.1
    """Weight of the joint velocities."""
    root_pose_weight: Weight = 0.15
    """Weight of the root's position and rotation."""
    root_velocity_weight: Weight = 0.1
    """Weight of the root's velocities."""
    key_position_weight: Weight = 0.15
    """Weight of the key bodies' positions relative to the root."""
    pose_scale: Scale = 0.25
    """Scale of the error of joint angles, rad^-2."""
    velocity_scale: Scale = 0.01
    """Scale of the error of joint velocities, s^2/rad^2."""
    root_pose_scale: Scale = 5.0
    """Scale of the error of the root's pose, m^-2."""
    root_velocity_scale: Scale = 1.0
    """Scale of the error of the root's velocities, s^2/m^2."""
    key_position_scale: Scale = 10.0
    """Scale of the error of key positions, m^-2."""


@dataclass(frozen=True)
class PaperRewardConfig:
    """DeepMimic's reward: sum of weight exp(-scale error) over its terms, with the values that it prints.

    Its released code weighs 0.5, 0.05, 0.15, 0.1, and 0.2 for the root: the preset `paper-released`.
    """

    pose_weight: Weight = 0.65
    """Weight of the joint angles and the root's rotation."""
    velocity_weight: Weight = 0.1
    """Weight of the joint velocities and the root's angular velocity."""
    end_effector_weight: Weight = 0.15
    """Weight of the positions of feet and hands."""
    centre_of_mass_weight: Weight = 0.1
    """Weight of the centre of mass."""
    root_weight: Weight = 0.0
    """Weight of the root's pose and velocities, which only the released code has."""
    pose_scale: Scale = 2.0
    """Scale of the error of joint angles, rad^-2."""
    velocity_scale: Scale = 0.1
    """Scale of the error of joint velocities, s^2/rad^2."""
    end_effector_scale: Scale = 40.0
    """Scale of the error of feet and hands, m^-2."""
    centre_of_mass_scale: Scale = 10.0
    """Scale of the error of the centre of mass, m^-2."""
    root_scale: Scale = 5.0
    """Scale of the error of the root, m^-2."""


Range = tuple[float, float]
"""Lowest and highest value; a number is drawn between them for each episode."""
Factor = Annotated[Range, Within(0.01, 100.0)]
MOST_SEED = 2**63 - 2
"""Evaluations use the seed after it, too."""
MOST_DELAY = 2.0
"""Control steps."""


@dataclass(frozen=True)
class RandomizationConfig:
    """How the robots of training differ from the model, each number drawn anew for each episode.

    A range of equal ends, and a limit of 0, cost nothing.
    """

    friction: Annotated[Range, Within(0.01, 10.0)] = (1.0, 1.0)
    """Coefficient of sliding friction between the robot and the floor; the model's is 1."""
    mass: Factor = (1.0, 1.0)
    """Masses and inertias of all links, relative to the model's."""
    trunk_com: Annotated[float, Within(0.0, 0.5)] = 0.0
    """Largest offset of the trunk's centre of mass along each axis, m."""
    joint_offset: Annotated[float, Within(0.0, 0.5)] = 0.0
    """Largest error of the zero of a joint's encoder, rad."""
    joint_damping: Annotated[Range, Within(0.0, 100.0)] = (0.0, 0.0)
    """Viscous friction of the joints, N m s/rad."""
    armature: Factor = (1.0, 1.0)
    """Rotor inertias of the joints, relative."""
    kp: Factor = (1.0, 1.0)
    """Proportional gains, relative."""
    kd: Factor = (1.0, 1.0)
    """Derivative gains, relative."""
    motor_strength: Factor = (1.0, 1.0)
    """Effort limits, relative."""
    delay: Annotated[Range, Within(0.0, MOST_DELAY)] = (0.0, 0.0)
    """Control steps, whole or not, until an action reaches the motors."""
    gravity_tilt: Annotated[float, Within(0.0, 0.5)] = 0.0
    """Largest tilt of gravity about each horizontal axis, rad: a floor that is not level."""
    start_position: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Largest offset of the root at the start along each horizontal axis, m."""
    start_rotation: Annotated[float, Within(0.0, 1.5)] = 0.0
    """Largest turn of the root at the start about each axis, rad."""
    start_joint: Annotated[float, Within(0.0, 1.5)] = 0.0
    """Largest offset of each joint at the start, rad."""
    start_velocity: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Largest velocity that is added to the root's at the start along each axis, m/s and rad/s."""


@dataclass(frozen=True)
class NoiseConfig:
    """Standard deviations of `--noise 1`, about those of a real robot's state estimate."""

    position: Annotated[float, Within(0.0, 10.0)] = 0.02
    """Of the root's position along each axis, m."""
    tilt: Annotated[float, Within(0.0, 10.0)] = 0.02
    """Of the root's orientation about each axis, rad."""
    velocity: Annotated[float, Within(0.0, 10.0)] = 0.1
    """Of the root's velocity along each axis, m/s."""
    spin: Annotated[float, Within(0.0, 10.0)] = 0.1
    """Of the root's angular velocity about each axis, rad/s."""
    joint: Annotated[float, Within(0.0, 10.0)] = 0.01
    """Of the joint angles, rad."""
    joint_velocity: Annotated[float, Within(0.0, 100.0)] = 0.5
    """Of the joint velocities, rad/s."""


@dataclass(frozen=True)
class PenaltyConfig:
    """What training takes off the reward for what motors do not like. Returns do not count it."""

    action_change: Weight = 0.0
    """Weight of the mean square, over joints, of the change of the action since the control step before."""
    torque: Weight = 0.0
    """Weight of the mean square of the motors' torques, relative to their effort limits."""
    joint_limit: Weight = 0.0
    """Weight of the summed angles by which joints are within 0.05 rad of their limits or beyond, rad."""
    self_contact: Weight = 0.0
    """With --env.self-collision: weight of the summed depths by which parts of the robot are in others, m."""


Distance = Annotated[Range, Within(0.0, 100.0)]
Angle = Annotated[Range, Within(-math.pi, math.pi)]
Height = Annotated[Range, Within(0.0, 3.0)]
Radius = Annotated[float, Within(1e-3, 10.0)]


@dataclass(frozen=True)
class HeadingConfig:
    """The goal of walking in a direction at a speed."""

    turn: Annotated[float, Within(0.0, math.pi)] = 1.0
    """Largest turn of the wanted direction when it changes, rad."""
    speed: Annotated[Range, Within(0.0, 10.0)] = (0.6, 1.2)
    """Wanted speeds, m/s."""
    interval: Annotated[float, Within(0.01, 3600.0)] = 3.0
    """Time between two changes of direction and speed, s."""
    speed_scale: Scale = 2.5
    """Scale of the squared error of the horizontal velocity, s^2/m^2."""
    heading_scale: Scale = 2.0
    """Scale of the squared angle between heading and direction, rad^-2."""


@dataclass(frozen=True)
class LocationConfig:
    """The goal of walking to a point, and then to the next one."""

    distance: Distance = (1.0, 4.0)
    """Distances at which points are drawn, in any direction, m."""
    radius: Radius = 0.3
    """Distance at which a point is reached, m."""
    speed: Annotated[float, Within(0.0, 10.0)] = 0.9
    """Wanted speed on the way, m/s."""
    speed_scale: Scale = 2.5
    """Scale of the squared error of the horizontal velocity, s^2/m^2."""
    heading_scale: Scale = 2.0
    """Scale of the squared angle between heading and direction, rad^-2."""


@dataclass(frozen=True)
class StrikeConfig:
    """The goal of hitting a target with a body in every cycle of the clip.

    Targets are drawn in front of where the cycle began; a front kick reaches the default ones.
    """

    body: str = "right_ankle_roll_link"
    """Body whose origin is to hit."""
    distance: Distance = (0.5, 0.7)
    """Horizontal distances of targets, m."""
    azimuth: Angle = (-0.3, 0.3)
    """Directions of targets, rad from the front, to the left."""
    height: Height = (0.4, 0.65)
    """Heights of targets, m."""
    beyond: Annotated[float, Within(0.0, 10.0)] = 0.0
    """0: targets are drawn inside these ranges; otherwise outside, by up to so many half widths."""
    radius: Radius = 0.1
    """Distance at which a target is hit, m."""
    scale: Scale = 4.0
    """Scale of the squared distance, m^-2."""


@dataclass(frozen=True)
class ThrowConfig:
    """The goal of throwing a ball at a spot on the floor in every cycle of the clip."""

    body: str = "right_wrist_yaw_link"
    """Body that holds the ball."""
    release: Annotated[float, Within(0.0, 1.0)] = 0.42
    """Phase of the clip at which the ball is released; the default is for the bundled throw."""
    distance: Distance = (2.5, 3.5)
    """Distances of spots from where the cycle began, m."""
    azimuth: Angle = (-0.3, 0.3)
    """Directions of spots, rad from the front, to the left."""
    beyond: Annotated[float, Within(0.0, 10.0)] = 0.0
    """0: targets are drawn inside these ranges; otherwise outside, by up to so many half widths."""
    radius: Radius = 0.5
    """Distance from the spot at which a landing is a hit, m."""
    scale: Scale = 1.0
    """Scale of the squared distance, m^-2."""


GoalName = Literal["none", "heading", "location", "strike", "throw"]


@dataclass(frozen=True)
class EnvConfig:
    """The task: observation, action, reward, termination, rates and contacts."""

    observation: Literal["compact", "mimickit", "mimickit-local", "paper", "onboard"] = "compact"
    """Layout of the observation; the documents list the parts of each."""
    history: Annotated[int, Within(1, 100)] = 1
    """With the observation `onboard`: control steps whose sensor readings and actions are observed, this one
    included."""
    privileged_critic: bool = False
    """Whether the value function sees more than the policy: the true state with the place, without noise, and
    how the robot differs from the model."""
    target_steps: Annotated[tuple[int, ...], Within(1, 1000)] = ()
    """Control steps ahead whose reference is observed, such as 1 2 3; empty: the layout's."""
    phase: bool | None = None
    """Whether the phase is observed; None: as the layout has it."""
    phase_frequencies: Annotated[int, Within(1, 16)] = 4
    """Sines and cosines of the phase at 1, 2, 4, ... turns that encode it (MimicKit `num_phase_encoding`)."""
    action: Literal["reference", "mimickit"] = "reference"
    """Centre and scale of the PD targets: the reference pose and a share of the effort, or MimicKit's fixed
    joint ranges."""
    action_scale: Annotated[float, Within(1e-3, 10.0)] = 1.0
    """With the action `reference`: share of a motor's effort limit that one unit of action asks for."""
    reward: Literal["mimickit", "paper"] = "mimickit"
    """MimicKit's five terms, or the four of the DeepMimic paper."""
    mimickit_reward: MimicKitRewardConfig = field(default_factory=MimicKitRewardConfig)
    paper_reward: PaperRewardConfig = field(default_factory=PaperRewardConfig)
    penalty: PenaltyConfig = field(default_factory=PenaltyConfig)
    clips: Literal["one", "best", "skills"] = "one"
    """What an episode imitates of several clips: the one that it starts in; at each control step the best of
    all; or one cycle of one after the other, as it is told. But for `one`, the reference goes where the
    robot goes."""
    goal: GoalName = "none"
    """What the robot is to do besides imitating; the reference then goes where the robot goes."""
    imitation_weight: Weight = 0.7
    """With a goal: weight of the imitation's reward."""
    goal_weight: Weight = 0.3
    """With a goal: weight of the goal's reward."""
    heading: HeadingConfig = field(default_factory=HeadingConfig)
    location: LocationConfig = field(default_factory=LocationConfig)
    strike: StrikeConfig = field(default_factory=StrikeConfig)
    throw: ThrowConfig = field(default_factory=ThrowConfig)
    joint_weights: Annotated[tuple[float, ...], Within(0.0, 1e6)] = ()
    """Weights of the joints in MimicKit's reward, one for each in the documents' order; empty: MimicKit's."""
    key_bodies: tuple[str, ...] = KEY_BODIES
    """Bodies whose positions MimicKit's reward and layouts count."""
    track_root: bool = True
    """Whether the root's place and heading count, in reward and termination. Without, robot and reference are
    compared each from its own root, and the reference is observed from the robot's place and heading; layouts
    that do not show the place imply it."""
    max_deviation: Annotated[float | None, Within(1e-3, 100.0)] = 0.5
    """Distance of a body from its reference that ends an episode early, m; None: no distance does."""
    fall_ends: bool = True
    """Whether a body on the floor that may not be there ends an episode."""
    start: Literal["random", "first"] = "random"
    """Where in a clip episodes start: anywhere (reference state initialisation), or at its first frame."""
    episode_seconds: Annotated[float, Within(0.01, 3600.0)] = 10.0
    """Length of an episode, s."""
    control_hz: Annotated[float, Within(1.0, 1000.0)] = 30.0
    """Control steps per second."""
    physics_hz: Annotated[float, Within(1.0, 100_000.0)] = 90.0
    """Physics steps per second; a multiple of the control rate. At 90 a step is as exact as explicit motors'
    at 180, at 120 more exact (docs/results.md)."""
    contacts: ContactChoice = "auto"
    """Shapes that collide with the floor, by default the smallest set that the clips need: with `feet` the
    soles alone; with `legs`, thighs and shins too; with `full`, hands, forearms, shoulders, pelvis, torso and
    head as well; with `body`, hips and upper arms also."""
    ground_bodies: tuple[str, ...] = ()
    """Bodies that may be on the floor without a fall (MimicKit `contact_bodies`); `all`: nothing is a fall;
    empty: those of the shanks and feet, with `full` forearms and hands too, with `body` all."""
    self_collision: bool = False
    """Whether the legs collide with each other, and the arms with trunk and thighs."""
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)


@dataclass(frozen=True)
class NetworkConfig:
    """The networks of the policy and of the value function."""

    actor_hidden: Annotated[tuple[int, ...], Within(1, 65_536)] = (256, 256)
    """Widths of the policy's hidden layers."""
    critic_hidden: Annotated[tuple[int, ...], Within(1, 65_536)] = (256, 256)
    """Widths of the value function's hidden layers."""
    activation: Literal["elu", "relu", "silu", "tanh"] = "elu"
    """Activation of the hidden layers."""
    initial_std: Annotated[float, Within(1e-4, 10.0)] = 0.2
    """Standard deviation of the first policy, in units of action."""
    learn_std: bool = True
    """Whether the standard deviation is learned, one number per joint, or stays as it is."""
    min_std: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Floor under the standard deviation that is learned: whoever explores no more finds no other step."""
    initialization: Literal["orthogonal", "torch"] = "orthogonal"
    """First weights: orthogonal, or uniform in +-1/sqrt(inputs) as torch and so MimicKit have them. With SGD
    their size is a step size."""


@dataclass(frozen=True)
class NormalizerConfig:
    """The normaliser of observations."""

    min_std: Annotated[float, Within(1e-8, 1.0)] = 1e-3
    """Least standard deviation, so that a number that never varies stays at 0 instead of exploding."""
    samples: Annotated[int | None, Within(1, 10**15)] = None
    """Samples after which the moments stay as they are; None: they never do."""
    first: Literal["reference", "standard"] = "reference"
    """First moments: those of reference states, or 0 and 1."""


@dataclass(frozen=True)
class PPOConfig:
    """The PPO update."""

    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or SGD with momentum 0.9."""
    actor_rate: Annotated[float, Within(0.0, 1.0)] = 3e-5
    """Learning rate of the policy; the first one, where target_kl is set."""
    critic_rate: Annotated[float, Within(0.0, 1.0)] = 1e-3
    """Learning rate of the value function."""
    target_kl: Annotated[float | None, Within(1e-6, 10.0)] = 0.06
    """KL divergence per minibatch to which the policy's learning rate is steered, at the beginning of the
    training; None: the rate stays constant."""
    final_kl: Annotated[float, Within(1e-6, 10.0)] = 0.01
    """The same at the training's end, to which it falls linearly: bold steps find a skill, small ones polish
    it."""
    min_rate: Annotated[float, Within(0.0, 1.0)] = 1e-6
    """Lower limit of the steered learning rate."""
    max_rate: Annotated[float, Within(0.0, 1.0)] = 1e-3
    """Upper limit of the steered learning rate."""
    max_grad_norm: Annotated[float | None, Within(1e-6, 1e6)] = 1.0
    """Global norm to which larger gradients are scaled down; None: never."""
    discount: Annotated[float, Within(0.0, 1.0)] = 0.97
    """gamma, per control step."""
    gae_lambda: Annotated[float, Within(0.0, 1.0)] = 0.95
    """lambda of the advantages."""
    td_lambda: Annotated[float, Within(0.0, 1.0)] = 0.95
    """lambda of the value targets."""
    clip: Annotated[float, Within(1e-3, 10.0)] = 0.2
    """How far the probability ratio may be from 1 before it is clipped."""
    advantage_clip: Annotated[float, Within(1e-3, 1e6)] = 4.0
    """Limit of normalised advantages, standard deviations."""
    actor_epochs: Annotated[int, Within(1, 1000)] = 4
    """Epochs over a rollout for the policy."""
    critic_epochs: Annotated[int, Within(1, 1000)] = 4
    """Epochs over a rollout for the value function."""
    actor_minibatches: Annotated[int, Within(1, 1_000_000)] = 4
    """Minibatches per epoch for the policy."""
    critic_minibatches: Annotated[int, Within(1, 1_000_000)] = 4
    """Minibatches per epoch for the value function."""
    action_bound_weight: Annotated[float, Within(0.0, 1e6)] = 1.0
    """Weight of the loss for mean actions outside [-1, 1]."""
    entropy_weight: Annotated[float, Within(0.0, 1e3)] = 0.0
    """Weight of the entropy bonus."""
    bootstrap_clip_end: bool = True
    """Whether the value after the end of a clip that does not repeat is the critic's, as at a time-out, or 0,
    as MimicKit has it."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training."""

    motion: tuple[str, ...] = ("walk",)
    """Clips to imitate: files, names of bundled clips, folders, patterns such as "clips/*.pkl", or MimicKit's
    YAML lists with weights."""
    motion_weights: Annotated[tuple[float, ...], Within(0.0, 1e6)] = ()
    """How often episodes start in the clips of each --motion, relative to the others; empty: equally."""
    skip_bad: bool = False
    """Leave out clips that cannot be read, each with a warning."""
    start_sampling: Literal["uniform", "failure"] = "uniform"
    """Where in a clip episodes start: anywhere, or more often where the policy fails."""
    push: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Kick the robot in training every 2 s on average, by up to this, m/s. Evaluations are undisturbed."""
    push_turn: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Turn that comes with a kick: up to this about each axis, rad/s."""
    noise: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Noise on what the policy observes in training; 1 is about a real robot's."""
    disturbance_ramp: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of the training over which kicks, noise and randomisation grow from nothing to all of it."""
    num_envs: Annotated[int, Within(0, 10**9)] = 0
    """Parallel environments on all devices together; 0: sized for the machine."""
    envs_per_accelerator: Annotated[int, Within(0, 10**9)] = 0
    """With --num-envs 0, environments on each accelerator, or on all cores of a CPU together; 0: sized."""
    total_steps: Annotated[int, Within(0, 10**15)] = 0
    """Samples to train on, which are control steps of all environments; 0: sized for the machine."""
    seed: Annotated[int, Within(-(2**63), MOST_SEED)] = 0
    """Seed of every random number."""
    unroll_length: Annotated[int, Within(1, 100_000)] = 16
    """Control steps of each environment between two updates."""
    eval_envs: Annotated[int, Within(1, 10**6)] = 64
    """Episodes per evaluation."""
    eval_interval: Annotated[int, Within(0, 10**15)] = 0
    """Samples between evaluations, each of which comes with a checkpoint; 0: sized for the machine."""
    video_interval: Annotated[int | None, Within(0, 10**15)] = None
    """Samples between videos of an evaluation episode; 0: none before the end; None: sized here."""
    keep_checkpoints: Annotated[int | Literal["all"], Within(2, 10**6)] = 2
    """Checkpoints that are kept, the newest ones; each holds the best policy too."""
    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)


# The task of the DeepMimic paper: its reward, phase in the observation, targets without the reference,
# horizon, networks and discount. The update is ours, which needs fewer samples.
PAPER = TrainConfig(
    env=EnvConfig(observation="paper", action="mimickit", reward="paper", episode_seconds=20.0),
    network=NetworkConfig((1024, 512), (1024, 512), "relu", initial_std=0.1, learn_std=False),
    ppo=PPOConfig(discount=0.95),
)

# The field's ranges for the G1 (BeyondMimic, OpenTrack, MuJoCo Playground).
RANDOMIZATION = RandomizationConfig(
    friction=(0.3, 1.3),
    mass=(0.9, 1.1),
    trunk_com=0.03,
    joint_offset=0.01,
    joint_damping=(0.0, 0.5),
    armature=(1.0, 1.05),
    kp=(0.9, 1.1),
    kd=(0.9, 1.1),
    motor_strength=(0.9, 1.0),
    delay=(0.0, 0.7),
    gravity_tilt=0.02,
    start_position=0.05,
    start_rotation=0.1,
    start_joint=0.1,
    start_velocity=0.3,
)

Preset = Literal["default", "skills", "mimickit", "paper", "paper-released", "robust", "deploy"]

PRESETS: dict[Preset, TrainConfig] = {
    "default": TrainConfig(),
    "skills": TrainConfig(
        motion=("walk", "kick", "squat", "side_step", "turn_in_place"), env=EnvConfig(clips="skills")
    ),
    # MimicKit's G1 recipe (data/envs/deepmimic_g1_env.yaml, data/agents/deepmimic_g1_ppo_agent.yaml).
    # Its physics is another engine's, at the same rate. There every shape collides; here the legs do, because
    # whatever else touches the floor ends the episode.
    "mimickit": TrainConfig(
        envs_per_accelerator=4096,
        unroll_length=32,
        env=EnvConfig(
            observation="mimickit",
            action="mimickit",
            max_deviation=1.0,
            physics_hz=120.0,
            contacts="legs",
            self_collision=True,
        ),
        network=NetworkConfig(
            (1024, 512), (1024, 512), "relu", initial_std=0.05, learn_std=False, initialization="torch"
        ),
        normalizer=NormalizerConfig(min_std=1e-4, samples=100_000_000, first="standard"),
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
            bootstrap_clip_end=False,
        ),
    ),
    # Who is kicked is elsewhere afterwards, and need not be back in time. He finds the step that saves him by
    # loud exploration, which must not be learned away. Walking is learned first (docs/results.md).
    "robust": TrainConfig(
        push=1.5,
        noise=1.0,
        disturbance_ramp=0.4,
        network=NetworkConfig(min_std=0.12),
        env=EnvConfig(
            privileged_critic=True, track_root=False, max_deviation=1.0, randomization=RANDOMIZATION
        ),
    ),
    # Control steps of 20 ms instead of 33; discount, rollout and delay are about as long in seconds.
    "deploy": TrainConfig(
        push=1.5,
        noise=1.0,
        disturbance_ramp=0.4,
        network=NetworkConfig(min_std=0.12),
        unroll_length=24,
        env=EnvConfig(
            observation="onboard",
            privileged_critic=True,
            max_deviation=1.0,
            control_hz=50.0,
            physics_hz=150.0,
            penalty=PenaltyConfig(action_change=0.1, torque=0.05, joint_limit=0.5),
            randomization=replace(RANDOMIZATION, delay=(0.0, 1.0)),
        ),
        ppo=PPOConfig(discount=0.982),
    ),
    "paper": PAPER,
    "paper-released": replace(
        PAPER,
        env=replace(
            PAPER.env,
            paper_reward=PaperRewardConfig(
                pose_weight=0.5, velocity_weight=0.05, centre_of_mass_weight=0.1, root_weight=0.2
            ),
        ),
    ),
}

# Environments per device, samples in all, and samples between evaluations and between videos, where the user
# names no number.
ENVS_PER_DEVICE = {"cpu": 128}
TOTAL_STEPS = {"cpu": 12_000_000}
EVAL_INTERVAL = {"cpu": 500_000}
VIDEO_INTERVAL = {"cpu": 2_000_000}
ENVS_PER_ACCELERATOR = 4096
TOTAL_STEPS_ON_ACCELERATOR = 300_000_000
EVAL_INTERVAL_ON_ACCELERATOR = 13_000_000  # about MimicKit's, 100 iterations of 4096 x 32 samples
VIDEO_INTERVAL_ON_ACCELERATOR = 4 * EVAL_INTERVAL_ON_ACCELERATOR

REPLACED = {"eval_interval_s": "eval_interval, a number of samples"}
"""Fields of earlier versions, and what to use instead."""


def sized(config: TrainConfig, platform: str, devices: int) -> TrainConfig:
    """Fill in what is 0 for this machine, and check the result against it.

    Raises:
        UserError: a number that cannot be trained with.
    """
    video_interval = config.video_interval
    if video_interval is None:
        video_interval = VIDEO_INTERVAL.get(platform, VIDEO_INTERVAL_ON_ACCELERATOR)
    config = replace(
        config,
        video_interval=video_interval,
        num_envs=config.num_envs
        or _next_multiple(config.envs_per_accelerator * (1 if platform == "cpu" else devices), devices)
        or ENVS_PER_DEVICE.get(platform, ENVS_PER_ACCELERATOR) * devices,
        total_steps=config.total_steps or TOTAL_STEPS.get(platform, TOTAL_STEPS_ON_ACCELERATOR),
        eval_interval=config.eval_interval or EVAL_INTERVAL.get(platform, EVAL_INTERVAL_ON_ACCELERATOR),
        eval_envs=_next_multiple(config.eval_envs, devices),
    )
    check(config, devices)
    return config


def _next_multiple(count: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def check_physics_rate(option: str, physics_hz: float, control_hz: float) -> None:
    """Refuse a physics rate of which control steps do not take a whole number of steps.

    Raises:
        UserError: with the option and a remedy.
    """
    substeps = physics_hz / control_hz
    if round(substeps) < 1 or not math.isclose(substeps, round(substeps), rel_tol=1e-6):
        remedy = f"use a multiple of {control_hz:g}, the control rate"
        raise UserError(f"option {option}: {physics_hz:g} will not do; {remedy}")


def check(config: TrainConfig, devices: int) -> None:
    """Refuse settings that contradict each other or the machine.

    Raises:
        UserError: with the option and a remedy.
    """
    check_bounds(config)
    env, ppo = config.env, config.ppo

    def require(condition: bool, option: str, value: Any, remedy: str) -> None:
        if not condition:
            raise UserError(f"option {option}: {value} will not do; {remedy}")

    remedy = f"use a multiple of {devices}, the number of devices"
    require(config.num_envs > 0 and config.num_envs % devices == 0, "--num-envs", config.num_envs, remedy)
    batch = config.num_envs // devices * config.unroll_length
    remedy = f"use a divisor of {batch}, the samples per device and update"
    require(batch % ppo.actor_minibatches == 0, "--ppo.actor-minibatches", ppo.actor_minibatches, remedy)
    require(batch % ppo.critic_minibatches == 0, "--ppo.critic-minibatches", ppo.critic_minibatches, remedy)
    require(ppo.min_rate <= ppo.max_rate, "--ppo.min-rate", ppo.min_rate, "use one up to --ppo.max-rate")
    check_physics_rate("--env.physics-hz", env.physics_hz, env.control_hz)
    remedy = f"use at least {1.0 / env.control_hz:.3g}, one control step"
    require(env.episode_seconds * env.control_hz >= 0.5, "--env.episode-seconds", env.episode_seconds, remedy)
    require(
        env.start == "random" or config.start_sampling == "uniform",
        "--start-sampling",
        config.start_sampling,
        "use uniform with --env.start first",
    )
    remedy = f"give {len(G1_JOINTS)}, one for each joint, not all 0"
    joints_do = len(env.joint_weights) == len(G1_JOINTS) and any(env.joint_weights)
    require(joints_do or not env.joint_weights, "--env.joint-weights", env.joint_weights, remedy)
    for part in ("randomization", "heading", "location", "strike", "throw"):
        for name, value in vars(getattr(env, part)).items():
            ascends = not isinstance(value, tuple) or (len(value) == 2 and value[0] <= value[1])
            option = f"--env.{part}.{name}".replace("_", "-")
            require(ascends, option, value, "give the lowest and the highest value, in this order")
    rewards = env.goal == "none" or env.imitation_weight + env.goal_weight > 0.0
    require(rewards, "--env.goal-weight", 0, "give it or --env.imitation-weight a number over 0")
    terms = env.mimickit_reward if env.reward == "mimickit" else env.paper_reward
    weights_do = any(value > 0 for name, value in vars(terms).items() if name.endswith("_weight"))
    option = f"--env.{env.reward}-reward"
    require(weights_do, option, "all weights 0", "give one term a weight over 0")
    remedy = "use 1; only the observation onboard is of sensor readings"
    require(env.history == 1 or env.observation == "onboard", "--env.history", env.history, remedy)
    require(
        config.push > 0.0 or config.push_turn == 0.0,
        "--push-turn",
        config.push_turn,
        "add --push, the speed of the kicks",
    )
    remedy = "add --env.self-collision, without which nothing touches the robot but the floor"
    touches = env.self_collision or env.penalty.self_contact == 0.0
    require(touches, "--env.penalty.self-contact", env.penalty.self_contact, remedy)
    shows = env.observation != "paper" or env.phase is not False or env.target_steps
    remedy = "the observation would show neither phase nor reference; add --env.target-steps 1"
    require(bool(shows), "--env.phase", env.phase, remedy)
    require(len(config.motion) > 0, "--motion", "no clip", "name at least one")
    weights, count = config.motion_weights, len(config.motion)
    remedy = f"give {count}, one for each --motion"
    require(len(weights) in (0, count), "--motion-weights", weights, remedy)
    require(not weights or sum(weights) > 0, "--motion-weights", weights, "use numbers from 0, not all 0")


def check_bounds(config: Any, prefix: str = "") -> None:
    """Hold every number of a configuration to the bounds of its field.

    Raises:
        UserError: with the option and its bounds.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for name in (f.name for f in fields(config)):
        value, hint = getattr(config, name), hints[name]
        if is_dataclass(value):
            check_bounds(value, f"{prefix}{name}.")
        bounds = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Within)]
        numbers = value if isinstance(value, tuple) else () if value in (None, "all") else (value,)
        for bound in bounds:
            for number in numbers:
                option = f"--{prefix}{name}".replace("_", "-")
                require_range({option: (number, bound.low, bound.high)})
