"""What every command does before and around its work: JAX's settings, options, errors to exit codes."""

import contextlib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mjx_mimic.common.errors import UserError


def prepare_jax() -> None:
    """Settings that must come before JAX's first use: a host device per core, a persistent cache.

    XLA's CPU backend does not spread MJX over cores; one device per core, mapped over, does.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mjx_mimic" / "xla"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # Too late in a notebook that has used JAX already; one device works too.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())
    # MJX prints that its optional Warp back end is not installed; nobody asked for it.
    with contextlib.redirect_stdout(io.StringIO()):
        import mujoco.mjx  # noqa: F401


def cores() -> int:
    """Cores that this process may use; macOS only tells how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parse(kind: Any, arguments: Sequence[str], **options: Any) -> Any:
    """`tyro.cli`, with its boxed complaint about a bad option turned into a one-line UserError."""
    import tyro

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=list(arguments), **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_first_sentence(complaint.getvalue())) from None


def shown(metavar: str) -> Any:
    """Annotation of an option: --help shows its value so, and no default, as nothing is done without it."""
    import tyro

    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def _first_sentence(box: str) -> str:
    """The complaint itself out of tyro's box, which goes on with a rule and the help of the option.

    Where the output is not UTF-8 the box is of ASCII, with a rule under its title too.
    """
    rule = set("\u2500\u2570\u256f-")
    lines = [line.strip(" \u2502|") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()[1:]]
    begun = itertools.dropwhile(lambda line: set(line) <= rule, lines)
    told = itertools.takewhile(lambda line: not set(line) <= rule, begun)
    return f"{' '.join(told).removesuffix('.')}; --help lists the options"


def run(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a command's `main` and exits: 0 or its result, 2 for bad input, 130 for an interrupt."""
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
        sys.exit(status)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(1)
