"""MimicKit's recipe for the G1 in files of our own, with the keys of its argument file and its YAML files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FEET = tuple(f"{side}_ankle_roll_link" for side in ("left", "right"))
_LEG, _ARM = (1.0, 1.0, 1.0, 0.6, 0.5, 0.5), (1.0, 1.0, 1.0, 0.6, 0.5, 0.5, 0.5)
ENV: dict[str, Any] = {
    "env_name": "deepmimic",
    "char_file": "data/assets/g1/g1.xml",
    "camera_mode": "track",
    "episode_length": 10.0,
    "global_obs": True,
    "root_height_obs": True,
    "pose_termination": True,
    "pose_termination_dist": 1.0,
    "enable_phase_obs": False,
    "enable_tar_obs": True,
    "num_phase_encoding": 4,
    "tar_obs_steps": [1, 2, 3],
    "rand_reset": True,
    "zero_center_action": True,
    "log_tracking_error": False,
    "ref_char_offset": [2.0, 0.0, 0.0],
    "init_pose": [0.0] * 35,
    "enable_early_termination": True,
    "key_bodies": [*FEET, "head_link", "left_wrist_yaw_link", "right_wrist_yaw_link"],
    "contact_bodies": [
        f"{side}_{part}_link" for side in ("left", "right") for part in ("knee", "ankle_pitch", "ankle_roll")
    ],
    "motion_file": "data/motions/clip.npz",
    "joint_err_w": [*_LEG, *_LEG, 1.0, 1.0, 1.0, 0.0, *_ARM, *_ARM],
    **{
        f"reward_{name}_w": weight
        for name, weight in (
            *(("pose", 0.5), ("vel", 0.1), ("root_pose", 0.15)),
            *(("root_vel", 0.1), ("key_pos", 0.15)),
        )
    },
    **{
        f"reward_{name}_scale": scale
        for name, scale in (
            *(("pose", 0.25), ("vel", 0.01), ("root_pose", 5.0)),
            *(("root_vel", 1.0), ("key_pos", 10.0)),
        )
    },
}
_SGD = {"type": "SGD", "learning_rate": 1e-4}
AGENT: dict[str, Any] = {
    "agent_name": "PPO",
    "model": {
        "actor_net": "fc_2layers_1024units",
        "actor_init_output_scale": 0.01,
        "actor_std_type": "FIXED",
        "action_std": 0.05,
        "critic_net": "fc_2layers_1024units",
    },
    "actor_optimizer": dict(_SGD),
    "critic_optimizer": dict(_SGD),
    "discount": 0.99,
    "steps_per_iter": 32,
    "iters_per_output": 100,
    "test_episodes": 32,
    "normalizer_samples": 100_000_000,
    "actor_epochs": 5,
    "actor_batch_size": 4,
    "critic_epochs": 2,
    "critic_batch_size": 2,
    "td_lambda": 0.95,
    "ppo_clip_ratio": 0.2,
    "norm_adv_clip": 4.0,
    "action_bound_weight": 10.0,
    "action_entropy_weight": 0.0,
    "action_reg_weight": 0.0,
}
ENGINE: dict[str, Any] = {
    "engine_name": "isaac_gym",
    "control_mode": "pos",
    "control_freq": 30,
    "sim_freq": 120,
    "env_spacing": 5,
    "ground_contact_height": 0.3,
}
ARGUMENTS = (
    "--num_envs 4096\n\n# a comment\n"
    "--engine_config data/engines/engine.yaml\n--env_config data/envs/env.yaml\n"
    "--agent_config data/agents/agent.yaml\n\n--out_dir output/"
)
LEFT_OUT = object()
"""Value of a key that is to be left out."""


def write(
    folder: Path,
    arguments: str = ARGUMENTS,
    clip: bytes | None = b"",
    **changed: Mapping[str, Any],
) -> Path:
    """Write the files in MimicKit's folders, and return the argument file.

    Args:
        folder: MimicKit's root.
        arguments: contents of the argument file.
        clip: contents of the clip; None: there is none.
        changed: other values of keys in `env`, `agent`, and `engine`.
    """
    for kind, values in (("env", ENV), ("agent", AGENT), ("engine", ENGINE)):
        path = folder / "data" / f"{kind}s" / f"{kind}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        merged = {**values, **changed.get(kind, {})}
        kept = {key: value for key, value in merged.items() if value is not LEFT_OUT}
        path.write_text(yaml.safe_dump(kept, sort_keys=False))
    if clip is not None:
        (folder / "data" / "motions").mkdir(exist_ok=True)
        (folder / "data" / "motions" / "clip.npz").write_bytes(clip)
    path = folder / "args" / "g1_args.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(arguments)
    return path
