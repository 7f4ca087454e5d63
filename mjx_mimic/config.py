"""The settings of a training: frozen dataclasses, with the numbers that each field may be."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from mjx_mimic.robot.constants import KEY_BODIES, ContactChoice, PhysicsImpl


@dataclass(frozen=True)
class Within:
    """The numbers that a field may be; where it is a tuple, that each of them may be."""

    low: float
    high: float


Which = Literal["best", "last"] | int
"""Which policy of a run: the best, the last, or that of the kept checkpoint with so many samples."""
EngineName = Literal["mjx", "mujoco"]
"""What simulates episodes: MJX, as in training, or MuJoCo in C."""
Start = Literal["both", "random", "first", "training"]
"""Where evaluations start: at random phases, at the clips' first frames, both, or where the training was."""
Inputs = Literal["sensors", "observation"]
"""What an exported model takes."""
Direction = Literal["forward", "backward", "left", "right"]
DIRECTIONS = {"forward": (1.0, 0.0), "backward": (-1.0, 0.0), "left": (0.0, 1.0), "right": (0.0, -1.0)}
"""Of forces and kicks, as the robot sees them: forward and to the left."""

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
MOST_SEED = 2**32 - 2
"""Evaluations use the seed after it, too."""
MOST_DELAY = 2.0
"""Control steps."""


@dataclass(frozen=True)
class RandomizationConfig:
    """How the robots of training differ from the model, each number drawn anew for each episode.

    A range that is the model's own number alone, and a limit of 0, cost nothing.
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
    """Largest tilt of gravity about each horizontal axis, rad: a floor that is not level. The observation
    `onboard` shows the tilted vertical, all others that of the floor."""
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
    speed: Annotated[float, Within(0.01, 10.0)] = 0.9
    """Speed on the way, m/s, up to which a faster approach is rewarded more."""


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
    """Whether the value function sees more than the policy: the true state without noise, with the place
    where it counts, how the robot differs from the model, the last action where its change is penalised, and
    the PD targets that a delay keeps on their way."""
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
    """MimicKit's five terms, or DeepMimic's: the paper's four, and that of the root in its released code."""
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
    """Whether the root's place and heading count, in reward and termination. Without, the reference is moved
    to the robot's in every control step; layouts that do not show the place imply it."""
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
    """Whether legs and feet collide with each other, and arms with trunk and thighs."""
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
    """Standard deviation of the first policy, in units of action; a warm start that learns it brings its
    own."""
    learn_std: bool = True
    """Whether the standard deviation is learned, one number per joint, or stays as it is."""
    min_std: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Least standard deviation that is learned, so that exploration does not die out before a rare skill,
    such as the step that saves from a fall, is found."""
    final_std: Annotated[float | None, Within(1e-4, 10.0)] = None
    """Largest standard deviation at the training's end, at most min_std. After four fifths of the training a
    larger one drops to min_std, and from there the limit falls linearly to this, so that the policy is
    polished with little noise. None: no limit."""
    initialization: Literal["orthogonal", "torch"] = "orthogonal"
    """First weights: orthogonal, or uniform in +-1/sqrt(inputs) as torch and so MimicKit have them. With SGD
    their size is a step size."""
    symmetric: bool = True
    """Whether the networks are symmetric left to right: to the mirror image of all that they see they answer
    with the mirror image of the action, and with the same value. Where the policy sees no reference (the
    layout `paper` without `--env.target-steps`), they never are."""


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
    """Learning rate of the policy; where target_kl is set, the first one, but for a warm start, which begins
    with min_rate."""
    critic_rate: Annotated[float, Within(0.0, 1.0)] = 1e-3
    """Learning rate of the value function."""
    target_kl: Annotated[float | None, Within(1e-6, 10.0)] = 0.06
    """KL divergence from the policy that made the rollout, estimated on each minibatch, to which the policy's
    learning rate is steered, at the beginning of the training; None: the rate stays constant."""
    final_kl: Annotated[float, Within(1e-6, 10.0)] = 0.01
    """The same at the training's end, to which it falls linearly, if it is less: bold steps find a skill,
    small ones polish it."""
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
    """Whether the value after the end of a clip that is not cyclic is the critic's, as at a time-out, or 0,
    as MimicKit has it."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training."""

    motion: tuple[str, ...] = ("walk",)
    """Clips to imitate: files, names of bundled clips, folders, patterns such as "clips/*.pkl", or MimicKit's
    YAML lists with weights."""
    motion_weights: Annotated[tuple[float, ...], Within(0.0, 1e6)] = ()
    """Weight of each --motion, relative to the others. It holds for every clip of a folder or a pattern,
    multiplies the weights of a list, and is shared by the clips of one file. Empty: 1 each."""
    motion_share: Literal["steps", "starts"] = "steps"
    """What the weights share out: control steps, so that a clip whose episodes are short, because they fail
    early or it ends, is practised as much as the others; or starts of episodes, as in MimicKit."""
    skip_bad: bool = False
    """Leave out clips that cannot be read, each with a warning."""
    start_sampling: Literal["uniform", "failure"] = "uniform"
    """Where in a clip episodes start: anywhere, or more often where the policy fails."""
    push: Annotated[float, Within(0.0, 10.0)] = 0.0
    """Kick the robot in training every 2 s on average, with a horizontal velocity uniform in a disc of this
    radius, m/s. Evaluations are undisturbed."""
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
    physics_impl: PhysicsImpl = "jax"
    """What takes the physics steps of the training: MJX's JAX code, or MJX-Warp, for an NVIDIA GPU. All other
    commands use JAX."""
    seed: Annotated[int, Within(0, MOST_SEED)] = 0
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


def with_field(config: Any, path: str, value: Any) -> Any:
    """Return a configuration with another value in the field at a dotted path."""
    name, _, rest = path.partition(".")
    return replace(config, **{name: with_field(getattr(config, name), rest, value) if rest else value})
