"""What a sweep trains: its description, and the trainings that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mjx_mimic.clips.formats import file_and_clip
from mjx_mimic.common.errors import UserError, bare
from mjx_mimic.common.files import read_yaml
from mjx_mimic.common.paths import file_name
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import from_dict, to_dict
from mjx_mimic.presets import PRESETS, Preset


@dataclass(frozen=True)
class Sweep:
    """What a sweep trains: every setting on every clip with every seed."""

    motion: tuple[str, ...]
    """Clips, each for a policy of its own; a YAML list or a folder is one policy for all of its clips."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    """Names, and what each changes: fields by their dotted names, such as ppo.target_kl."""
    seeds: tuple[int, ...] = (0,)
    preset: Preset = "default"
    """What the settings change."""
    common: Mapping[str, Any] = field(default_factory=dict)
    """Fields that all settings change."""
    samples: int = 0
    """Samples of each training; 0: sized for the machine."""
    minutes: float | None = None
    """Wall time after which a training stops, together with those beside it; None: none."""
    together: int = 0
    """Trainings that run side by side where they can share a compiled step; 0: one on a CPU, and as many as
    have 8,192 environments on accelerators."""


@dataclass(frozen=True)
class Member:
    """One training of a sweep."""

    setting: str
    clip: str
    config: TrainConfig
    path: Path

    @property
    def name(self) -> str:
        """Name, for people."""
        return f"{self.setting}/{self.path.name}"


def read_sweep(path: Path) -> Sweep:
    """Read the description of a sweep.

    Raises:
        UserError: a field is unknown or will not do.
    """
    values = read_yaml(path)
    if not isinstance(values, Mapping) or not values.get("motion"):
        raise UserError(f"{path}: field 'motion' is missing; write 'motion:' and a list of clips")
    sweep = from_dict({name: value for name, value in values.items() if name not in FREE}, path, Sweep)
    sweep = replace(sweep, **_free_fields(values, path))
    if not sweep.seeds:
        raise UserError(f"{path}: field 'seeds' is empty; write a list of at least one")
    for name, lowest in (("samples", 0), ("together", 0), ("minutes", 1e-3)):
        value = getattr(sweep, name)
        if value is not None and not value >= lowest:
            raise UserError(f"{path}: field '{name}' is {value}; write a number from {lowest:g}")
    return sweep


FREE = ("settings", "common")
"""Fields of a sweep that hold changes of settings, by names of the user's own or of `TrainConfig`."""


def _free_fields(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Read the fields `FREE` of a description, those that there are."""
    found: dict[str, Any] = {}
    if "common" in values:
        found["common"] = _changes(values["common"], f"{path}: field 'common'")
    if "settings" in values:
        settings = values["settings"]
        if not isinstance(settings, Mapping) or not settings:
            raise UserError(
                f"{path}: field 'settings' is no mapping; write lines such as low: {{ppo.clip: 0.1}}"
            )
        found["settings"] = {
            str(name): _changes(changes, f"{path}: setting {bare(name)}")
            for name, changes in settings.items()
        }
    return found


def _changes(values: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise UserError(f"{where} is no mapping of fields to values; write {{ppo.clip: 0.1}}, or {{}}")
    return values


def members(sweep: Sweep, out: Path, source: Path) -> list[Member]:
    """List the trainings of a sweep, by setting, clip and seed, with their run folders.

    Raises:
        UserError: a setting will not do, or two of them or two clips have the same name.
    """
    found: list[Member] = []
    paths: dict[Path, str] = {}
    for setting, changes in sweep.settings.items():
        values = to_dict(PRESETS[sweep.preset])
        for name, value in (sweep.common | changes).items():  # type: ignore[operator]
            place_in(values, name.replace("-", "_"), value, f"{source}: setting {bare(setting)}")
        config = from_dict(values, f"{source}: setting {bare(setting)}")
        for motion in sweep.motion:
            name = clip_name(motion)
            for seed in sweep.seeds:
                path = out / file_name(setting) / f"{file_name(name)}-{seed}"
                if path in paths:
                    raise UserError(
                        f"{source}: two trainings would be {path} ({paths[path]} and {motion}); give settings"
                        " and clips other names, and each seed once; a folder or a pattern gets another name"
                        " through a YAML list of its own"
                    )
                paths[path] = motion
                own = replace(config, motion=(motion,), seed=seed, total_steps=sweep.samples)
                found.append(Member(setting, name, own, path))
    return found


def clip_name(motion: str) -> str:
    """Return what the clips of an entry of `motion` are called: as their file, with the one that it names."""
    file, clip = file_and_clip(motion)
    return Path(file).stem + (f"-{clip}" if clip else "")


ELSEWHERE = {
    "motion": "write the sweep's own field 'motion'",
    "motion_weights": "name a YAML list of clips with weights in 'motion'",
    "seed": "write the sweep's own field 'seeds'",
    "total_steps": "write the sweep's own field 'samples'",
    "video_interval": "leave it out, a sweep writes no videos",
}
"""Settings of a training that a setting of a sweep may not have, and what to do instead."""


def place_in(values: dict[str, Any], name: str, value: Any, where: str) -> None:
    """Set a field by its dotted name in a nested dict.

    Raises:
        UserError: there is no such field, or it is a section, or one that the sweep has itself.
    """
    if name in ELSEWHERE:
        raise UserError(f"{where}: {name} cannot be set here; {ELSEWHERE[name]}")
    *parents, last = name.split(".")
    inner: Any = values
    for parent in parents:
        inner = inner.get(parent) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or last not in inner:
        raise UserError(f"{where}: unknown field '{bare(name)}'; use one of config.yaml, such as ppo.clip")
    if isinstance(inner[last], dict):  # a whole section would reset what it does not name
        raise UserError(
            f"{where}: {bare(name)} is a section; write its fields one by one, such as ppo.clip: 0.1"
        )
    inner[last] = value
