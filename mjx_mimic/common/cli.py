"""What every command does before and around its work: options, JAX's settings, errors to exit codes."""

import contextlib
import io
import math
import os
import signal
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import tyro

from mjx_mimic.common.errors import RunFailure, UserError, bare, missing_package
from mjx_mimic.common.files import cache_folder

INTERRUPTED = 130
"""Exit code after an interrupt."""
COLLECTIVE_TIMEOUT_S = 24 * 3600


def parse(kind: Any, arguments: Sequence[str], **options: Any) -> Any:
    """Parse a command line into the dataclass `kind`.

    tyro itself prints what is wrong with an option, and exits with 2. Over a `default`, which a file may have
    made, an option of several values may stand there without one: it empties the list.

    Raises:
        UserError: an option of several values stands there twice, of which tyro takes the last ones alone, or
            without a value, where that does nothing.
    """
    lists, may_be_empty = _lists(kind), bool(options.keys() & {"default", "return_unknown_args"})
    given = [part.partition("=")[0].replace("_", "-") if part.startswith("--") else "" for part in arguments]
    for name, part, following in zip(given, arguments, [*arguments, "--"][1:], strict=True):
        if name[2:].rpartition(".")[2] not in lists:
            continue
        if given.count(name) > 1:
            raise UserError(f"option {name}: stands there twice; give it once, with all its values after it")
        is_empty = "=" not in part and following.startswith("--") and following != "--help"
        if is_empty and not may_be_empty:
            raise UserError(f"option {name}: has no value; name at least one after it, or leave it out")
    return tyro.cli(kind, args=list(arguments), **options)


def parse_first(kind: Any, arguments: Sequence[str], program: str) -> Any:
    """Parse those options that decide the defaults of all others, such as --preset.

    What it does not know and --help are left to the parse with those defaults, which follows.
    """
    options = [part for part in arguments if part not in ("-h", "--help")]
    first, _ = parse(kind, options, prog=program, return_unknown_args=True)
    return first


def _lists(kind: Any) -> set[str]:
    """Return the names of all fields in the dataclasses of a type that hold any number of values."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return set().union(*map(_lists, typing.get_args(kind)))
    found: set[str] = set()
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        found |= {name.replace("_", "-")} if _is_list(hint) else _lists(hint)
    return found


def _is_list(hint: Any) -> bool:
    return any(part is ... or _is_list(part) for part in typing.get_args(hint))


def shown(metavar: str) -> Any:
    """Annotate an option whose value --help shows as `metavar`, and without a default.

    For options without which nothing is done.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def require_range(bounds: Mapping[str, tuple[float, float, float]]) -> None:
    """Hold options to their bounds.

    Args:
        bounds: (value, lowest, highest) by option.

    Raises:
        UserError: a value is outside.
    """
    for option, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise UserError(f"option {option}: {value} will not do; use a number from {low:g} to {high:g}")


def require_defaults(command: Any, names: Iterable[str], why: str) -> None:
    """Refuse options that would do nothing, where they are not left at their defaults.

    Args:
        command: a dataclass of options.
        names: of its fields.
        why: they do nothing, and the remedy.

    Raises:
        UserError: with the first such option.
    """
    for name in names:
        if getattr(command, name) != getattr(type(command), name):
            raise UserError(f"option --{name.replace('_', '-')}: {why}")


def cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the cores that this process may use: the machine's, and in a container the share it has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # "max", or no such file
        quota, period = map(int, (cgroup / "cpu.max").read_text("utf-8").split())
        return min(allowed, max(1, math.ceil(quota / period)))
    return allowed


def draw_nothing() -> None:
    """Keep MuJoCo from loading an OpenGL library, which may not work here, in a command that draws nothing.

    MuJoCo reads this when it is first imported.
    """
    if "mujoco" not in sys.modules:
        os.environ["MUJOCO_GL"] = "disabled"


def prepare_jax(warp: bool = False) -> None:
    """Make the settings that must come before JAX's first use: a host device per core, a persistent cache.

    With `warp`, MJX will have Warp (`robot.quiet_mjx`).

    XLA's CPU backend does not spread MJX over cores; one device per core, mapped over, does. It aborts the
    process when one device waits for another longer than a time-out, which a suspended laptop exceeds.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    for event in ("terminate", "warn_stuck"):
        flag = f"--xla_cpu_collective_call_{event}_timeout_seconds"
        if flag not in flags:
            flags += f" {flag}={COLLECTIVE_TIMEOUT_S}"
    os.environ["XLA_FLAGS"] = flags.strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "xla"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax  # reads these variables when it is imported

    # What a shell sets for other work: all is float32 here, and NaN in a simulation ends an episode.
    for name in ("jax_enable_x64", "jax_debug_nans", "jax_debug_infs"):
        jax.config.update(name, False)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # Too late in a notebook that has used JAX already; one device works too.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())
    if warp:
        _load_warp()


def _load_warp() -> None:
    """Import Warp, which MJX finds only where that is done before MJX is imported.

    Raises:
        UserError: it is not installed.
    """
    try:
        import warp
    except ImportError:
        raise missing_package("option --physics-impl: warp", "warp-lang", "warp") from None
    warp.config.log_level = warp.LOG_WARNING  # not a line for each kernel


def heard(names: Sequence[str]) -> list[signal.Signals]:
    """Return the signals of these names that there are here and that are not ignored, as `nohup` has it."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def run(main: Callable[[Sequence[str]], int]) -> None:
    """Run a command's `main` and exit with its result.

    1 for a run that failed, 2 for bad input, 130 for an interrupt, a termination signal or a closed terminal.
    """
    for number in heard(("SIGTERM", "SIGHUP")):
        signal.signal(number, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # clips have names in any script
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
        sys.exit(status)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunFailure as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except (RuntimeError, AssertionError):
        if _has_devices():
            raise
        chosen = bare(os.environ.get("JAX_PLATFORMS", ""))
        print(f"error: JAX_PLATFORMS={chosen}: nothing of that kind is here; unset it", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(1)


def _has_devices() -> bool:
    """Return whether JAX has devices, of the kind that JAX_PLATFORMS names if it is set."""
    if not os.environ.get("JAX_PLATFORMS") or "jax" not in sys.modules:
        return True
    try:
        return bool(sys.modules["jax"].devices())
    except (RuntimeError, AssertionError):
        return False
