"""What becomes of each key of MimicKit's environment files."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from mjx_mimic.common.errors import bare
from mjx_mimic.mimickit_files.draft import (
    KEEP,
    OTHER_COMMANDS,
    REQUIRED,
    Draft,
    Key,
    choose_motion,
    only,
    plain,
)
from mjx_mimic.robot.constants import ALL_BODIES, G1_BODIES, G1_JOINTS, GROUND_BODIES, SIDES


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
    return plain(f"env.mimickit_reward.{term}_{part}", float)


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
    "env_name": Key("", "deepmimic; others are refused", str, REQUIRED, only("deepmimic", OTHER_COMMANDS)),
    "char_file": Key("", "g1.xml; other robots are refused", str, REQUIRED, _character),
    "camera_mode": Key("render, view", "the cameras of these commands follow the robot"),
    "episode_length": plain("env.episode_seconds", float),
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
    "motion_file": Key("--motion", "from the argument file's folder upwards", str, REQUIRED, choose_motion),
    "joint_err_w": Key(
        "--env.joint-weights", "29 of the 30: the head is fixed", list[float], None, _joint_weights
    ),
    **{f"reward_{name}_w": _reward(term, "weight") for name, term in _TERMS.items()},
    **{f"reward_{name}_scale": _reward(term, "scale") for name, term in _TERMS.items()},
}
