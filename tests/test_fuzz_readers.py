"""Files damaged at random are read or refused in a line, soon, in bounded memory, and no code in them runs.

A few inputs for each reader by default, always the same. `pytest -m faults tests/test_fuzz_readers.py` goes
on for FUZZ_SECONDS (60) with each reader, from the seed FUZZ_SEED (the time), and prints what it has done.
"""

import ctypes
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import clip_files, damage, mimickit_recipe
from helpers.point_env import POINT_CONFIG, PointEnv
from helpers.small_run import sway

from mjx_mimic import config_checks, config_yaml
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.formats import load_all, load_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.paths import motions_dir
from mjx_mimic.config import TrainConfig
from mjx_mimic.learning.learner import Learner
from mjx_mimic.mimickit_files import translate
from mjx_mimic.retarget import bvh
from mjx_mimic.retarget import person as persons
from mjx_mimic.runs import checkpoints, folder
from mjx_mimic.runs.checkpoints import DIGESTS, Checkpoints, Progress
from mjx_mimic.runs.metric_log import read_rows
from mjx_mimic.task.start_sampling import make_starts

pytestmark = pytest.mark.faults

INPUTS = 100
"""For each reader, where the harness is not asked for alone."""
SECONDS = 5.0
"""That a file of this size may take."""
MEMORY = 2**30
"""Bytes that reading it may take."""
Damage = Callable[[np.random.Generator, bytes], bytes]


@dataclass
class Reader:
    """A reader, the file that it reads, whole files of that kind, and how they are damaged."""

    file: str
    read: Callable[[Path], object]
    samples: list[bytes]
    damaged: Damage


class Hang(BaseException):
    """No `except Exception` may swallow it."""


# What no reader may do, whatever is in the file.
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.",
    "socket.connect",
    "pty.",
)
seen_events: list[str] = []
watching = False


def _watch(event: str, arguments: tuple) -> None:
    if watching and event.startswith(FORBIDDEN):
        seen_events.append(event)


sys.addaudithook(_watch)


if hasattr(LIBC := ctypes.CDLL(None), "mallopt"):
    LIBC.mallopt(-8, 2)  # M_ARENA_MAX: each of a large machine's many arenas would count against the limit


@contextmanager
def guarded() -> Iterator[None]:
    """Bounds time and memory, and watches for code that runs."""
    global watching

    def stop(*_: Any) -> None:
        raise Hang

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MEMORY, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, 6 * SECONDS)  # of this process, however busy the machine is
    seen_events.clear()
    watching = True
    try:
        yield
    finally:
        watching = False
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def outcome(reader: Reader, path: Path) -> tuple[str, float]:
    """What became of a file, and the seconds of this process that it took."""
    files = sorted(path.parent.iterdir())
    start, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with guarded():
            reader.read(path)
        found = "accepted"
    except UserError as error:
        message = str(error)
        found = "refused"
        if len(message) >= 1000 or not message.isprintable() or "MemoryError" in message:
            found = f"message {message[:1000]!r}"
    except Hang:
        found = "hang " + traceback.format_exc(-1)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in place if "mjx_mimic/" in frame.filename][-1:] + place[-1:]
        where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in inside)
        found = f"{type(error).__name__} at {where}: {str(error)[:200]}"
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    if seen_events:
        found = f"code: {seen_events}"
    elif sorted(path.parent.iterdir()) != files:
        found = "files were written"
    elif grown > MEMORY:
        found = f"memory: {grown / 2**20:.0f} MiB"
    elif seconds > SECONDS and not found.startswith("hang"):
        found = "slow"
    return found, seconds


# -- the readers


def archive(tmp_path: Path, fields: dict) -> bytes:
    return clip_files.write_npz(tmp_path / "sample.npz", fields).read_bytes()


def pickled(tmp_path: Path, fields: dict) -> bytes:
    return clip_files.write_pickle(tmp_path / "sample.pkl", fields).read_bytes()


def other_layouts(tmp_path: Path, kind: str) -> Reader:
    """Layouts that people have beside those of the known programs."""
    walk = clip_files.walk()
    match kind:
        case "some bodies":
            fields = clip_files.tracking(walk, "depth", "depth")
            bodies = {name: fields[name][:, [0, 4, 9, 15]] for name in ("body_pos_w", "body_quat_w")}
            samples = [archive(tmp_path, fields | bodies)]
        case "holosoma":
            qpos = np.concatenate([walk.root_pos, walk.root_quat, walk.dof_pos], axis=1)
            fields = {"fps": np.array([60]), "joint_names": np.array(walk.joint_names), "joint_pos": qpos}
            samples = [archive(tmp_path, fields)]
        case "base pose":
            fields = {"joint_names": np.array(walk.joint_names), "joint_pos": walk.dof_pos}
            base = {"base_pos_w": walk.root_pos, "base_quat_w": walk.root_quat, "framerate": np.array(60)}
            samples = [archive(tmp_path, fields | base)]
        case "motion_lib":
            fields = {"root_trans_offset": walk.root_pos, "root_rot": clip_files.xyzw(walk), "fps": 60}
            fields["dof"] = walk.dof_pos.astype(np.float32)
            samples = [pickled(tmp_path, fields), pickled(tmp_path, {"a": fields, "b": fields})]
        case "joblib":
            fields = {"root_trans_offset": walk.root_pos, "root_rot": clip_files.xyzw(walk), "fps": 60}
            fields["dof"] = np.asfortranarray(walk.dof_pos)
            plain = clip_files.write_joblib(tmp_path / "a.pkl", {"a": fields, "b": fields}).read_bytes()
            return Reader("clip", load_all, [plain, zlib.compress(plain)], damage.of_bytes)
        case _:
            names = ("time", *"xyz", "qx", "qy", "qz", "qw", *walk.joint_names)
            rows = np.c_[np.arange(20) / 60, clip_files.unitree(walk)[:20]].tolist()
            table = clip_files.write_csv(tmp_path / "a.csv", rows, names).read_bytes()
            samples = [table, table.replace(b",", b";").replace(b".", b","), b"# x\n" + table]
    damaged = {b"P": damage.of_archive, b"\x80": damage.of_pickle}.get(samples[0][:1], damage.of_text)
    return Reader("clip", load_all, samples, damaged)


def clip(tmp_path: Path, kind: str) -> Reader:
    walk = clip_files.walk()
    match kind:
        case "native":
            samples = [path.read_bytes() for path in sorted(motions_dir().glob("*.npz"))[:4]]
            samples.append(archive(tmp_path, clip_files.native(walk)))
        case "beyondmimic":
            samples = [archive(tmp_path, clip_files.tracking(walk, "breadth", "breadth"))]
        case "mjlab":
            samples = [archive(tmp_path, clip_files.tracking(walk, "depth", "depth"))]
        case "locomujoco":
            samples = [archive(tmp_path, clip_files.locomujoco(walk))]
        case "mimickit":
            samples = [pickled(tmp_path, clip_files.mimickit(walk))]
        case "gmr":
            bodies = {"local_body_pos": np.zeros((67, 2, 3)), "link_body_list": ["pelvis", "torso_link"]}
            samples = [
                pickled(tmp_path, clip_files.gmr(walk)),
                pickled(tmp_path, clip_files.gmr(walk) | bodies),
            ]
        case "unitree":
            samples = [clip_files.write_csv(tmp_path / "a.csv", clip_files.unitree(walk)[:20]).read_bytes()]
        case _:
            rows, names = clip_files.protomotions(walk)[:20], clip_files.PROTOMOTIONS_COLUMNS
            samples = [clip_files.write_csv(tmp_path / "a.csv", rows, names).read_bytes()]
    damaged = {b"P": damage.of_archive, b"\x80": damage.of_pickle}.get(samples[0][:1], damage.of_text)
    return Reader("clip", load_motion, samples, damaged)


def recordings(tmp_path: Path, kind: str) -> Reader:
    """Every joint a child of the root."""
    limbs = ("UpLeg", "Leg", "Foot", "Arm", "ForeArm", "Hand", "Toe")
    names = ["Hips", "Neck", *(side + limb for side in ("Left", "Right") for limb in limbs)]
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n"
    lines = [f"HIERARCHY\nROOT {names[0]}\n{{\nOFFSET 0 90 0\n{channels}"]
    lines += [f"JOINT {name} {{ OFFSET 1 2.5 -3\nCHANNELS 2 Zrotation Xrotation\n}}\n" for name in names[1:]]
    values = np.random.default_rng(0).uniform(-90, 90, (6, 4 + 2 * len(names)))
    rows = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in values)

    def read(path: Path) -> None:
        recording = bvh.read(path)
        assert np.isfinite(recording.positions).all()
        persons.person_of(recording, persons.roles(recording, str(path)), "y")

    text = "".join(lines) + f"}}\nMOTION\nFrames: 6\nFrame Time: 0.0333\n{rows}\n"
    return Reader("person.bvh", read, [text.encode()], damage.of_text)


def configurations(tmp_path: Path, kind: str) -> Reader:
    settings = config_checks.sized(TrainConfig(motion=("walk", "run")), "cpu", 2)
    folder.create(tmp_path / "run", settings, Clips((sway(), sway()), (1.0, 2.0)), 2)
    record = (tmp_path / "run" / "config.yaml").read_bytes()

    def read(path: Path) -> None:
        if kind == "run":
            config_yaml.read_run(path.parent)
        else:
            config_checks.check(config_yaml.read_config(path), 2)

    return Reader("config.yaml", read, [record], damage.of_text)


def metrics(tmp_path: Path, kind: str) -> Reader:
    rows = [{"samples": 32 * n, "wall_time_s": 0.5 * n, "kl": 0.01, "eval_return": None} for n in range(8)]
    return Reader(
        "metrics.jsonl", read_rows, ["".join(json.dumps(r) + "\n" for r in rows).encode()], damage.of_text
    )


def lists(tmp_path: Path, kind: str) -> Reader:
    text = "motions:\n- file: walk\n  weight: 1.0\n- {file: run, weight: 3}\n- {file: 's*/*.npz'}\n"

    def read(path: Path) -> None:
        (path.parent / "sub").mkdir(exist_ok=True)
        clips = load_clips([str(path)])
        probabilities = make_starts(
            [m.length for m in clips.motions], [True] * len(clips.motions), clips.weights
        )
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(probabilities))

    samples = [text.encode(), b"motions:\n- {file: walk, weight: 2}\n- {file: jump}\n"]
    return Reader("set.yaml", read, samples, damage.of_text)


def recipes(tmp_path: Path, kind: str) -> Reader:
    """MimicKit's argument file, or a YAML file that it names."""
    arg_file = mimickit_recipe.write(tmp_path)
    sample = arg_file if kind == "arguments" else tmp_path / "data" / f"{kind}s" / f"{kind}.yaml"

    def read(path: Path) -> None:
        shutil.copy(path, sample)
        translate(arg_file)

    return Reader(sample.name, read, [sample.read_bytes()], damage.of_text)


def stored(tmp_path: Path, kind: str) -> Reader:
    """The small text files of a checkpoint, their digests made right again ("signed") or not."""
    learner = Learner(PointEnv(sign=jnp.float32(1.0)), POINT_CONFIG, tuple(jax.local_devices()))
    state = learner.init(jax.random.key(0))
    Checkpoints(tmp_path / "run").save(state, Progress(512, 1.0, 7.0), is_best=True)
    whole = tmp_path / "run" / "checkpoints" / "512"
    texts = [file.relative_to(whole) for file in sorted(whole.rglob("*")) if _is_text(file)]
    marks = [f"{name}\n".encode() for name in texts]

    def read(path: Path) -> None:
        name, _, contents = path.read_bytes().partition(b"\n")
        run = path.with_name("run")
        shutil.copytree(tmp_path / "run", run)
        step = run / "checkpoints" / "512"
        try:
            (step / name.decode()).write_bytes(contents)
            if kind == "signed" and name.decode() != DIGESTS:
                (step / DIGESTS).write_text(json.dumps(checkpoints._digests(step)))
            Checkpoints(run).restore_policy("best")
            Checkpoints(run).restore_training(state)
        finally:
            shutil.rmtree(run)

    def damaged(rng: np.random.Generator, data: bytes) -> bytes:
        name, _, contents = data.partition(b"\n")
        return name + b"\n" + damage.of_text(rng, contents)

    samples = [mark + (whole / name).read_bytes() for mark, name in zip(marks, texts, strict=True)]
    return Reader("damaged", read, samples, damaged)


def _is_text(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size > 100_000:
        return False
    try:
        return bool(json.loads(file.read_bytes()))
    except ValueError:
        return False


FORMATS = ("native", "beyondmimic", "mjlab", "locomujoco", "mimickit", "gmr", "unitree", "protomotions")
OTHERS = ("some bodies", "holosoma", "base pose", "motion_lib", "joblib", "named table")
READERS: dict[str, tuple[Callable[[Path, str], Reader], str]] = {name: (clip, name) for name in FORMATS} | {
    **{name: (other_layouts, name) for name in OTHERS},
    "bvh": (recordings, "lafan1"),
    "config": (configurations, "settings"),
    "run": (configurations, "run"),
    "metrics": (metrics, ""),
    "list": (lists, ""),
    **{f"MimicKit {kind}": (recipes, kind) for kind in ("arguments", "env", "agent", "engine")},
    "checkpoint": (stored, ""),
    "signed checkpoint": (stored, "signed"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of NumPy about old headers, and of orbax
def test_damaged_files_are_read_or_refused_in_a_line(name, pytestconfig, tmp_path, monkeypatch, capsys):
    thorough = pytestconfig.option.markexpr == "faults"
    seconds = float(os.environ.get("FUZZ_SECONDS", 60)) if thorough else np.inf
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns() % 2**32)) if thorough else 0
    make, kind = READERS[name]
    reader = make(tmp_path, kind)
    place = tmp_path / "place"
    place.mkdir()
    (place / "sub").mkdir()
    monkeypatch.chdir(place)
    inputs = INPUTS if make is not stored else INPUTS // 5
    end, number, longest, counts = time.monotonic() + seconds, 0, 0.0, Counter[str]()
    first: dict[str, Path] = {}
    for sample in reader.samples:
        (place / reader.file).write_bytes(sample)
        if name != "gmr":
            assert outcome(reader, place / reader.file)[0] in ("accepted", "refused")
    while number < inputs if not thorough else time.monotonic() < end:
        rng = np.random.default_rng([seed, number])
        data = reader.damaged(rng, reader.samples[number % len(reader.samples)])
        (place / reader.file).write_bytes(data)
        found, spent = outcome(reader, place / reader.file)
        counts[found] += 1
        longest = max(longest, spent)
        if found not in ("accepted", "refused") and found not in first:
            first[found] = tmp_path / f"input_{seed}_{number}"
            first[found].write_bytes(data)
        number += 1
    capsys.readouterr()
    if thorough:
        others = number - counts["accepted"] - counts["refused"]
        with capsys.disabled():
            print(
                f"\n{name}: {number} inputs from seed {seed}, {counts['accepted']} accepted,"
                f" {counts['refused']} refused, {others} otherwise, longest {longest:.2f} s"
            )
    assert not first, "\n".join(f"{counts[found]} x {found} ({file})" for found, file in first.items())
