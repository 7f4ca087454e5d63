"""Several processes that train together, each with its own devices, on one machine or many.

All run the same command and take the same steps; only the first one writes and prints. What follows from the
training is the same in all of them. What only a clock or a signal decides, they agree on.
"""

import contextlib
import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mjx_mimic.common.cli import INTERRUPTED
from mjx_mimic.common.errors import RunFailure, UserError, one_line

HEARTBEAT_S = 30
"""Time without a sign of life after which a process counts as lost."""


@dataclass(frozen=True)
class Cluster:
    """How this process finds the others."""

    coordinator: str | None = None
    """HOST:PORT of the first process, which all others can reach."""
    num_processes: int | None = None
    process_id: int | None = None
    """From 0."""
    detect: bool = False
    """Whether JAX finds out all of this: from Slurm, Open MPI, or a TPU pod."""

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            UserError: with the options and a remedy.
        """
        given = (self.coordinator, self.num_processes, self.process_id)
        if self.detect and given != (None, None, None):
            raise UserError("option --distributed: finds out --coordinator and the rest; leave them out")
        if None in given and given != (None, None, None):
            raise UserError(
                "options --coordinator, --num-processes, --process-id: belong together; give all three"
            )
        if self.coordinator is None or self.num_processes is None or self.process_id is None:
            return
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UserError(f"option --coordinator: {self.coordinator} will not do; use HOST:PORT")
        if not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"option --process-id: {self.process_id} will not do; number the processes from 0 to"
                f" {self.num_processes - 1}"
            )


@contextlib.contextmanager
def joined(cluster: Cluster) -> Iterator[None]:
    """Train with the other processes, if there are to be any; before JAX's first use.

    A process that fails leaves at once with its exit code: JAX would have it wait for the others, who wait
    for it. They then fail too.

    Raises:
        UserError: the others cannot be found.
    """
    if not cluster.detect and cluster.coordinator is None:
        yield
        return
    import jax

    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.num_processes,
            cluster.process_id,
            heartbeat_timeout_seconds=HEARTBEAT_S,
        )
    except ValueError as error:
        raise UserError(
            f"option --distributed: JAX finds no job of Slurm, Open MPI or a TPU pod here ({error}); use"
            " --coordinator, --num-processes and --process-id"
        ) from None
    except (RuntimeError, jax.errors.JaxRuntimeError) as error:
        raise RunFailure(f"the other processes cannot be reached: {error}") from None
    who = f"process {jax.process_index()} of {jax.process_count()}"
    with contextlib.ExitStack() as stack:
        if not is_first():
            nowhere = stack.enter_context(open(os.devnull, "w", errors="backslashreplace"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        try:
            yield
        except (UserError, RunFailure) as error:
            _leave(f"{who}: {error}", 2 if isinstance(error, UserError) else 1)
        except jax.errors.JaxRuntimeError as error:
            message = f"{who}: stopped, probably because another process has ended, whose output says why"
            _leave(f"{message}; start all of them again with --resume ({error})", 1)
        except KeyboardInterrupt:
            _leave(f"{who}: interrupted", INTERRUPTED)
        except Exception:
            traceback.print_exc()
            _leave(f"{who}: has a bug; please report it", 1)
    jax.distributed.shutdown()


def _leave(message: str, status: int) -> None:
    print(f"error: {one_line(message)}", file=sys.stderr, flush=True)
    os._exit(status)


def is_first() -> bool:
    """Return whether this process writes and prints."""
    import jax

    return jax.process_index() == 0


def agreed(*flags: bool) -> tuple[bool, ...]:
    """Return for each flag whether it is set in any process. All must call this at the same point."""
    return tuple(bool(flag) for flag in _of_all(np.array(flags)).any(axis=0))


def first_before_others[T](action: Callable[[], T]) -> T:
    """Do something in every process, in the first one before it begins in the others."""
    if not is_first():
        agreed(True)
    result = action()
    if is_first():
        agreed(True)
    return result


def require_same(parts: Mapping[str, str]) -> None:
    """Hold all processes to the same settings, clips, versions, and whatever else goes into their results.

    Args:
        parts: text by what it is called in a message.

    Raises:
        UserError: a process has another one than the first.
    """
    digests = [list(hashlib.sha256(text.encode()).digest()) for text in parts.values()]
    found = _of_all(np.array(digests, np.uint8))
    for process, theirs in enumerate(found):
        others = [
            name for name, row, first in zip(parts, theirs, found[0], strict=True) if (row != first).any()
        ]
        if others:
            raise UserError(
                f"process {process} has other {' and '.join(others)} than process 0; start all processes with"
                " the same options, clips, and installed versions"
            )


def _of_all(values: np.ndarray) -> np.ndarray:
    """Return the values of all processes (P, ...)."""
    import jax

    if jax.process_count() == 1:
        return values[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))
