"""What becomes of each key of MimicKit's engine files."""

import math
from typing import Any

from mjx_mimic.common.errors import bare
from mjx_mimic.mimickit_files.draft import Draft, Key


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
    "control_mode": Key("", "pos and pd_explicit; others are refused", str, "none", _control_mode),
    "control_freq": Key("--env.control-hz", "the same", float, 10.0, _control_hz),
    "sim_freq": Key(
        "--env.physics-hz",
        "of another engine; here 120 Hz, the preset's, or the next multiple of `control_freq`",
        translate=_physics_hz,
    ),
    "env_spacing": Key("", "every environment is a world of its own"),
    "ground_contact_height": Key("", "a fall is a shape that touches the floor, at any height"),
}
