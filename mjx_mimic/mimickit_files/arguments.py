"""What becomes of each argument of MimicKit's command line and argument files."""

from pathlib import Path

from mjx_mimic.common.errors import bare
from mjx_mimic.mimickit_files.draft import KEEP, OTHER_COMMANDS, REQUIRED, Draft, Key, choose_motion, plain


def _mode(draft: Draft, key: str, value: str) -> None:
    if value != "train":
        draft.refuse(key, f"is {bare(value)}: {OTHER_COMMANDS}")


WATCH = "a training shows nothing; beside it, type 'python -m mjx_mimic.view --run RUN --follow'"
MODEL = (
    "MimicKit's .pt files are not read; to start from a policy of a run here, type --init-from RUN, to go on"
    " with a run --resume --out RUN, to test or watch it 'python -m mjx_mimic.evaluate|view --run RUN'"
)


def _visualize(draft: Draft, key: str, value: bool) -> None:
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
    "visualize": Key(
        "view", "told: a training shows nothing; `view --follow` shows the run", bool, KEEP, _visualize
    ),
    "num_envs": plain(
        "envs_per_accelerator", int, "per device in MimicKit; --num-envs of our command line is the total"
    ),
    "env_config": Key("", "the file is read", str, REQUIRED, part_of="arg_file"),
    "agent_config": Key("", "the file is read; without it, the preset's learner", str, part_of="arg_file"),
    "engine_config": Key("", "the file is read; without it, the preset's rates", str, part_of="arg_file"),
    "out_dir": Key("--out", "the same; a folder that is in use is not written over", str, KEEP, _out),
    "motion_file": Key("--motion", "before that of the environment", str, KEEP, choose_motion),
    "model_file": Key(
        "--init-from, --resume, --run",
        "refused: .pt files are not read; in training it is a warm start, which is `--init-from`",
        str,
        KEEP,
        _model,
    ),
    "max_samples": plain(
        "total_steps", int, "the same; without it, 300 M per accelerator (in MimicKit, without end)"
    ),
    "rand_seed": plain("seed", int, "the same; without it, 0 here and the clock in MimicKit"),
    "devices": Key(
        "JAX_PLATFORMS, CUDA_VISIBLE_DEVICES",
        "all devices of the machine are used; these variables of the environment choose",
        list[str],
    ),
    "master_port": Key(
        "",
        "one process uses all devices of a machine; for several processes give --coordinator",
    ),
    "logger": Key("--wandb PROJECT", "TensorBoard and metrics.jsonl always, W&B too", neutral=(["tb"],)),
    "save_int_models": Key("--keep-checkpoints", "all keeps every checkpoint", bool, neutral=(False,)),
    "test_episodes": Key("evaluate --episodes", "of its test mode, which is a command here"),
    "video": Key(
        "--video, --no-video",
        "the same when typed; False in a file is `--video-interval 0`, which still writes the last video",
        bool,
        KEEP,
        _video,
    ),
}
