"""What becomes of each key of MimicKit's files: one table for translation, report, and documents."""

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mjx_mimic.common import paths
from mjx_mimic.common.errors import bare
from mjx_mimic.mimickit_files.draft import KEEP, REQUIRED, Draft, Key, Translate
from mjx_mimic.robot.constants import ALL_BODIES, G1_BODIES, G1_JOINTS, GROUND_BODIES, SIDES

NETS = {
    "fc_2layers_128units": (128, 64),
    "fc_2layers_256units": (256, 128),
    "fc_2layers_512units": (512, 256),
    "fc_2layers_1024units": (1024, 512),
    "fc_3layers_1024units": (1024, 1024, 512),
}
"""Widths of the hidden layers of MimicKit's networks."""


def _option(path: str) -> str:
    return f"--{path}".replace("_", "-")


def _plain(path: str, kind: Any, how: str = "the same", default: Any = KEEP) -> Key:
    """Return a key whose value is that of a field."""

    def translate(draft: Draft, key: str, value: Any) -> None:
        draft.set(path, tuple(value) if isinstance(value, list) else value)

    return Key(_option(path), how, kind, default, translate)


# -- arguments


def _motion(draft: Draft, key: str, value: str) -> None:
    if draft.motion_is_given:
        return
    found = draft.find(key, value)
    if found is None and value not in paths.bundled_clips():
        draft.refuse(key, f"is {bare(value)}: {not_found(draft.folder)}; copy it there, or add --motion CLIP")
    draft.set("motion", (str(found or value),))
    draft.motion_is_given = True


def not_found(folder: Path) -> str:
    """Say where a file was looked for in vain."""
    return f"no such file from {folder.resolve()}, the folders above it, or the current folder {Path.cwd()}"


def _mode(draft: Draft, key: str, value: str) -> None:
    if value != "train":
        draft.refuse(key, f"is {bare(value)}: {OTHER_COMMANDS}")


OTHER_COMMANDS = (
    "this command trains; for a policy type 'python -m mjx_mimic.evaluate --run RUN' (its test) or 'python -m"
    " mjx_mimic.view --run RUN' (live), for a clip 'python -m mjx_mimic.view --motion CLIP'"
)
WATCH = (
    "a training shows nothing; leave it out, and type 'python -m mjx_mimic.view --run RUN' once there is a"
    " checkpoint"
)
MODEL = (
    "MimicKit's .pt files are not read; to start from a policy of a run here, type --init-from RUN, to go on"
    " with a run --resume --out RUN, to test or watch it 'python -m mjx_mimic.evaluate|view --run RUN'"
)


def _visualize(draft: Draft, key: str, value: bool) -> None:
    if value and draft.is_typed(key):
        draft.refuse(key, WATCH)
    if value:
        draft.tell(key, WATCH)


def _model(draft: Draft, key: str, value: str) -> None:
    draft.refuse(key, f"is {bare(value)}: {MODEL}")


def _video(draft: Draft, key: str, value: bool) -> None:
    if not value:
        draft.set("video_interval", 0)
        draft.tell(key, "none on the way: --video-interval 0; --no-video leaves out the one at the end too")


def _out(draft: Draft, key: str, value: str) -> None:
    draft.out = Path(value)


ARGUMENTS = {
    "mode": Key("evaluate, view", "`train` only; the others are commands of their own", str, KEEP, _mode),
    "visualize": Key("view", "a training shows nothing; watch its run", bool, KEEP, _visualize),
    "num_envs": _plain(
        "envs_per_accelerator", int, "per device in MimicKit; --num-envs of our command line is the total"
    ),
    "env_config": Key("", "the file is read", str, REQUIRED, part_of="arg_file"),
    "agent_config": Key("", "the file is read; without it, the preset's learner", str, part_of="arg_file"),
    "engine_config": Key("", "the file is read; without it, the preset's rates", str, part_of="arg_file"),
    "out_dir": Key("--out", "the same; a folder that is in use is not written over", str, KEEP, _out),
    "motion_file": Key("--motion", "before that of the environment", str, KEEP, _motion),
    "model_file": Key(
        "--init-from, --resume, --run",
        "refused: .pt files are not read; in training it is a warm start, which is `--init-from`",
        str,
        KEEP,
        _model,
    ),
    "max_samples": _plain("total_steps", int, "the same; MimicKit trains without end if it is not given"),
    "rand_seed": _plain("seed", int, "the same; without it, 0 here and the clock in MimicKit"),
    "devices": Key(
        "JAX_PLATFORMS, CUDA_VISIBLE_DEVICES",
        "all devices of the machine are used; these variables of the environment choose",
        list[str],
    ),
    "master_port": Key(
        "",
        "one process takes all devices of a machine; those of several are told by --coordinator",
    ),
    "logger": Key("--wandb PROJECT", "TensorBoard and metrics.jsonl always, W&B too", neutral=(["tb"],)),
    "save_int_models": Key("--keep-checkpoints", "all keeps every checkpoint", bool, neutral=(False,)),
    "test_episodes": Key("evaluate --episodes", "of its test mode, which is a command here"),
    "video": Key(
        "--video, --no-video",
        "the same on the command line; False in a file is `--video-interval 0`, with one at the end",
        bool,
        KEEP,
        _video,
    ),
}

# -- the environment


def _only(wanted: str, remedy: str) -> Translate:
    def translate(draft: Draft, key: str, value: str) -> None:
        if value != wanted:
            draft.refuse(key, f"is {bare(value)}, only {wanted} is available; {remedy}")

    return translate


def _character(draft: Draft, key: str, value: str) -> None:
    if Path(value).stem != "g1":
        draft.refuse(
            key, f"is {bare(value)}; the robot here is the Unitree G1 (g1.xml); name a file of the G1"
        )


def _layout(draft: Draft, key: str, is_global: bool) -> None:
    """Choose the layout, with what it shows: the keys say it together."""
    values = draft.values
    has_targets, has_phase = values["enable_tar_obs"], values["enable_phase_obs"]
    if has_targets:
        draft.set("env.observation", "mimickit" if is_global else "mimickit-local")
        draft.set("env.target_steps", tuple(values["tar_obs_steps"]))
        if not values["tar_obs_steps"]:
            draft.refuse("tar_obs_steps", "is empty; name at least one step, or write enable_tar_obs: False")
    else:
        draft.set("env.observation", "paper")
        draft.set("env.target_steps", ())
        if is_global:
            draft.tell(key, "without targets only in the heading frame: --env.observation paper")
    draft.set("env.track_root", has_targets and is_global)
    draft.set("env.phase", has_phase)
    if has_phase and values["num_phase_encoding"] < 1:
        draft.set("env.phase_frequencies", 1)
        draft.tell("num_phase_encoding", "one sine and cosine at least: --env.phase-frequencies 1")
    elif has_phase:
        draft.set("env.phase_frequencies", values["num_phase_encoding"])
    if not has_targets and not has_phase:
        draft.refuse(
            key, "'enable_phase_obs' and 'enable_tar_obs' are False: the policy would be blind; set one"
        )


def _ends(draft: Draft, key: str, is_on: bool) -> None:
    values = draft.values
    draft.set("env.fall_ends", is_on)
    limit = values["pose_termination_dist"] if is_on and values["pose_termination"] else None
    draft.set("env.max_deviation", limit)


_ANKLES = tuple(f"{side}_ankle_pitch_link" for side in SIDES)
"""Bodies without a shape of their own."""


def _ground(draft: Draft, key: str, bodies: list[str]) -> None:
    """Let these bodies be on the floor, and the floor hold them."""
    _check_bodies(draft, key, bodies)
    draft.set("env.ground_bodies", tuple(bodies) or ALL_BODIES)
    sets = (name for name in ("legs", "full") if set(bodies) <= {*GROUND_BODIES[name], *_ANKLES})
    is_bounded = bodies and draft.values["enable_early_termination"]
    draft.set("env.contacts", next(sets, "body") if is_bounded else "body")


def _key_bodies(draft: Draft, key: str, bodies: list[str]) -> None:
    if not bodies:
        draft.refuse(key, "is empty; name at least one body")
    _check_bodies(draft, key, bodies)
    draft.set("env.key_bodies", tuple(bodies))


def _check_bodies(draft: Draft, key: str, bodies: Sequence[str]) -> None:
    for body in bodies:
        if body not in G1_BODIES:
            near = difflib.get_close_matches(body, G1_BODIES, 2, 0.5) or G1_BODIES[:1]
            draft.refuse(key, f"names {bare(body)}, which the G1 here does not have; use {' or '.join(near)}")


def _joint_weights(draft: Draft, key: str, weights: list[float] | None) -> None:
    """Take the weights of the bodies that a joint moves; MimicKit has one for each body but the root."""
    bodies = G1_BODIES[1:]
    if weights is None:
        draft.set("env.joint_weights", (1.0,) * len(G1_JOINTS))
        return
    if len(weights) != len(bodies):
        draft.refuse(
            key, f"has {len(weights)} numbers; write {len(bodies)}, one for each body but the pelvis"
        )
    moved = [weight for body, weight in zip(bodies, weights, strict=True) if body != "head_link"]
    draft.set("env.joint_weights", tuple(moved))


def _reward(term: str, part: str) -> Key:
    return _plain(f"env.mimickit_reward.{term}_{part}", float)


_TERMS = {
    "pose": "pose",
    "vel": "velocity",
    "root_pose": "root_pose",
    "root_vel": "root_velocity",
    "key_pos": "key_position",
}


def _start(draft: Draft, key: str, is_random: bool) -> None:
    draft.set("env.start", "random" if is_random else "first")


_LAYOUT = "--env.observation"
ENVIRONMENT = {
    "env_name": Key("", "deepmimic; others are refused", str, REQUIRED, _only("deepmimic", OTHER_COMMANDS)),
    "char_file": Key("", "g1.xml; other robots are refused", str, REQUIRED, _character),
    "camera_mode": Key("render, view", "the cameras of these commands follow the robot"),
    "episode_length": _plain("env.episode_seconds", float),
    "global_obs": Key(
        "--env.observation, --env.track-root",
        "with targets, `mimickit` (True) or `mimickit-local` (False); without, `paper`, in the heading frame"
        " only. The root's place counts only where both are True, as in MimicKit",
        bool,
        REQUIRED,
        _layout,
    ),
    "root_height_obs": Key(
        _LAYOUT,
        "the height is always observed and rewarded; in MimicKit, False leaves it out of both",
        bool,
        neutral=(True,),
    ),
    "pose_termination": Key(
        "--env.max-deviation", "False: none", bool, False, part_of="enable_early_termination"
    ),
    "pose_termination_dist": Key(
        "--env.max-deviation", "the same", float, 1.0, part_of="enable_early_termination"
    ),
    "enable_phase_obs": Key("--env.phase", "the same", bool, True, part_of="global_obs"),
    "enable_tar_obs": Key(_LAYOUT, "see `global_obs`", bool, False, part_of="global_obs"),
    "num_phase_encoding": Key("--env.phase-frequencies", "at least 1", int, 0, part_of="global_obs"),
    "tar_obs_steps": Key("--env.target-steps", "the same", list[int], [1], part_of="global_obs"),
    "rand_reset": Key("--env.start", "True: random, False: first", bool, True, _start),
    "zero_center_action": Key("--env.action mimickit", "always centred on 0", bool, False, neutral=(True,)),
    "log_tracking_error": Key("evaluate", "it prints the seven errors", bool, False, neutral=(False,)),
    "ref_char_offset": Key("render --reference side", "the reference is drawn as a ghost or beside"),
    "visualize_ref_char": Key("render --reference none", "the reference is drawn as a ghost or beside"),
    "init_pose": Key("", "episodes start on the clip, as in MimicKit"),
    "enable_early_termination": Key(
        "--env.fall-ends, --env.max-deviation",
        "False: neither falls nor deviations end an episode, and every shape meets the floor",
        bool,
        REQUIRED,
        _ends,
    ),
    "key_bodies": Key("--env.key-bodies", "the same", list[str], KEEP, _key_bodies),
    "contact_bodies": Key(
        "--env.ground-bodies, --env.contacts",
        "the same; [] is `all`. Legs meet the floor: `legs`; with arms `full`, with [] or others `body`",
        list[str],
        [],
        _ground,
    ),
    "motion_file": Key("--motion", "from the argument file's folder upwards", str, REQUIRED, _motion),
    "joint_err_w": Key(
        "--env.joint-weights", "29 of the 30: the head is fixed", list[float], None, _joint_weights
    ),
    **{f"reward_{name}_w": _reward(term, "weight") for name, term in _TERMS.items()},
    **{f"reward_{name}_scale": _reward(term, "scale") for name, term in _TERMS.items()},
}

# -- the agent


def _net(path: str) -> Key:
    def translate(draft: Draft, key: str, value: str) -> None:
        if value not in NETS:
            draft.refuse(key, f"is {bare(value)}, which is unknown; use {', '.join(NETS)}")
        draft.set(path, NETS[value])

    return Key(_option(path), "its widths, such as 1024 512; ReLU", str, KEEP, translate)


def _std_type(draft: Draft, key: str, value: str) -> None:
    kinds = {"FIXED": False, "CONSTANT": True, "VARIABLE": True}
    if value not in kinds:
        draft.refuse(key, f"is {bare(value)}; use {', '.join(kinds)}")
    draft.set("network.learn_std", kinds[value])
    if value == "VARIABLE":
        draft.tell(key, "the deviation does not depend on the state: --network.learn-std")


def _optimizer(draft: Draft, key: str, value: str) -> None:
    kinds = {"SGD": "sgd", "Adam": "adam"}
    if value not in kinds:
        draft.refuse(key, f"is {bare(value)}; use {' or '.join(kinds)}")
    draft.set("ppo.optimizer", kinds[value])
    if draft.values.get(_CRITIC_TYPE, value) != value:
        draft.tell(_CRITIC_TYPE, "both optimizers are of one type, the actor's: --ppo.optimizer")


def _grad_clip(draft: Draft, key: str, value: float) -> None:
    critic = draft.values[_CRITIC_CLIP]
    named = key if value else _CRITIC_CLIP
    draft.set("ppo.max_grad_norm", value or critic or None)
    draft.check(named)
    if value != critic:
        draft.tell(named, "clips the gradients of both networks: --ppo.max-grad-norm")


_CRITIC_TYPE, _CRITIC_CLIP = "critic_optimizer.type", "critic_optimizer.grad_clip"
_ONE_TYPE, _ONE_CLIP = "SGD or Adam, the actor's for both networks", "one for both networks; 0: none"


def _optimizer_keys(network: str) -> dict[str, Key]:
    return {
        "learning_rate": _plain(f"ppo.{network}_rate", float),
        "weight_decay": Key("", "weights do not decay", float, neutral=(0.0,)),
        "use_amp": Key("", "always float32", bool, neutral=(False,)),
        "amp_type": Key("", "always float32"),
    }


def _lambda(draft: Draft, key: str, value: float) -> None:
    draft.set("ppo.gae_lambda", value)
    draft.set("ppo.td_lambda", value)


def _minibatches(network: str) -> Key:
    path = f"ppo.{network}_minibatches"

    def translate(draft: Draft, key: str, size: float) -> None:
        """Divide the steps of a rollout by those of a minibatch."""
        steps = draft.config.unroll_length
        if not 0.0 < size < math.inf:
            draft.refuse(key, f"is {size}; use a number over 0, such as 4")
        wanted = math.ceil(steps / min(max(size, 1e-9), steps))
        count = next((n for n in range(wanted, steps + 1) if steps % n == 0), wanted)
        draft.set(path, count)
        if count * size != steps:
            draft.tell(key, f"minibatches are of one size: {_option(path)} {count}")

    how = "`steps_per_iter` divided by it: a minibatch has this many times `num_envs` samples, as in MimicKit"
    return Key(_option(path), how, float, KEEP, translate)


def _evaluations(draft: Draft, key: str, iterations: int) -> None:
    """Turn iterations between evaluations into samples, of one accelerator where no total is given."""
    config = draft.config
    samples = iterations * config.unroll_length * (config.num_envs or config.envs_per_accelerator)
    draft.set("eval_interval", samples)
    if not config.num_envs:
        draft.tell(
            key, f"--eval-interval {samples}, of one accelerator; with several, multiply by their number"
        )


AGENT = {
    "agent_name": Key("", "PPO; others are refused", str, REQUIRED, _only("PPO", "name a file with PPO")),
    "model.actor_net": _net("network.actor_hidden"),
    "model.actor_init_output_scale": Key("", "always 0.01", neutral=(0.01,)),
    "model.actor_std_type": Key(
        "--network.learn-std",
        "True for CONSTANT, and for VARIABLE",
        str,
        KEEP,
        _std_type,
    ),
    "model.action_std": _plain("network.initial_std", float),
    "model.critic_net": _net("network.critic_hidden"),
    "actor_optimizer.type": Key("--ppo.optimizer", _ONE_TYPE, str, "SGD", _optimizer),
    _CRITIC_TYPE: Key("--ppo.optimizer", _ONE_TYPE, str, part_of="actor_optimizer.type"),
    "actor_optimizer.grad_clip": Key("--ppo.max-grad-norm", _ONE_CLIP, float, 0.0, _grad_clip),
    _CRITIC_CLIP: Key("--ppo.max-grad-norm", _ONE_CLIP, float, 0.0, part_of="actor_optimizer.grad_clip"),
    **{
        f"{network}_optimizer.{name}": key
        for network in ("actor", "critic")
        for name, key in _optimizer_keys(network).items()
    },
    "discount": _plain("ppo.discount", float),
    "steps_per_iter": _plain("unroll_length", int),
    "iters_per_output": Key(
        "--eval-interval",
        "in samples: times `steps_per_iter` times `num_envs`, of one accelerator",
        int,
        KEEP,
        _evaluations,
    ),
    "test_episodes": _plain("eval_envs", int, "the first episode of so many environments"),
    "normalizer_samples": _plain("normalizer.samples", int, default=None),
    "actor_epochs": _plain("ppo.actor_epochs", int),
    "actor_batch_size": _minibatches("actor"),
    "critic_epochs": _plain("ppo.critic_epochs", int),
    "critic_batch_size": _minibatches("critic"),
    "critic_eval_batch_size": Key("", "all values are computed at once", neutral=(0,)),
    "td_lambda": Key(
        "--ppo.gae-lambda, --ppo.td-lambda",
        "both: MimicKit's advantages are returns less values",
        float,
        KEEP,
        _lambda,
    ),
    "ppo_clip_ratio": _plain("ppo.clip", float),
    "norm_adv_clip": _plain("ppo.advantage_clip", float),
    "action_bound_weight": _plain("ppo.action_bound_weight", float),
    "action_entropy_weight": _plain("ppo.entropy_weight", float),
    "action_reg_weight": Key("", "there is no such loss", float, neutral=(0.0,)),
    "exp_anneal_samples": Key("", "every action explores"),
    "exp_prob_beg": Key("", "every action explores", float, neutral=(1.0,)),
    "exp_prob_end": Key("", "every action explores", float, neutral=(1.0,)),
}

# -- the engine


def _control_hz(draft: Draft, key: str, value: float) -> None:
    """Set the control rate, and the least multiple of it from the preset's physics rate on."""
    draft.set("env.control_hz", value)
    draft.check(key)
    physics = draft.config.env.physics_hz
    draft.set("env.physics_hz", value * math.ceil(physics / value - 1e-9))


def _physics_hz(draft: Draft, key: str, value: Any) -> None:
    draft.tell(key, f"of another engine; the rate here is --env.physics-hz {draft.config.env.physics_hz:g}")


def _control_mode(draft: Draft, key: str, value: str) -> None:
    if value not in ("pos", "pd_explicit"):
        draft.refuse(key, f"is {bare(value)}; the motors here are position controlled; use pos")
    if value == "pd_explicit":
        draft.tell(key, "the damping of the motors is integrated implicitly, as with pos")


ENGINE = {
    "engine_name": Key("", "the engine is MuJoCo MJX"),
    "control_mode": Key("", "pos; vel, torque and none are refused", str, "none", _control_mode),
    "control_freq": Key("--env.control-hz", "the same", float, 10.0, _control_hz),
    "sim_freq": Key(
        "--env.physics-hz",
        "of another engine; here 120 Hz, the preset's, or the next multiple of `control_freq`",
        translate=_physics_hz,
    ),
    "env_spacing": Key("", "every environment is a world of its own"),
    "ground_contact_height": Key("", "a fall is a shape that touches the floor, at any height"),
}

KEYS: dict[str, dict[str, Key]] = {
    "argument": ARGUMENTS,
    "env": ENVIRONMENT,
    "agent": AGENT,
    "engine": ENGINE,
}
"""By the kind of file that a key stands in."""
