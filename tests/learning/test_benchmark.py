"""How compiled programs are timed; what they are is tested where they train."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from mjx_mimic.learning import benchmark

UNROLL, SUBSTEPS, REPEATS = 5, 3, 2


class Program:
    """Counts how often it is called, and what it goes on from."""

    def __init__(self) -> None:
        self.carried: list[Any] = []

    def __call__(self, *arguments: Any) -> tuple[int, str]:
        self.carried.append(arguments[-1])
        return len(self.carried), "what is kept of a step"

    def memory_analysis(self) -> SimpleNamespace:
        return SimpleNamespace(temp_size_in_bytes=3 * 2**20)


def test_every_way_of_looping_goes_through_as_many_steps():
    """A program of one control or physics step is called as often as an unroll has them, each time on."""
    names = ("physics", "environment", "physics_unrolled", "control_steps", "physics_steps", "training_step")
    programs = {name: Program() for name in names}
    futures: dict[str, Future] = {name: Future() for name in names}
    for name, program in programs.items():
        futures[name].set_result((0.5, program))
    learner = SimpleNamespace(
        placed_env=None,
        placed_updates=None,
        config=SimpleNamespace(unroll_length=UNROLL),
        env=SimpleNamespace(substeps=SUBSTEPS),
        samples_per_step=40,
    )
    state = SimpleNamespace(env=0)
    figures = benchmark.program_figures(learner, state, futures, REPEATS)
    expected = dict.fromkeys(names, 1) | {"control_steps": UNROLL, "physics_steps": UNROLL * SUBSTEPS}
    firsts = dict.fromkeys(names, state.env) | {"training_step": state}
    for name in names:
        following = range(1, expected[name] * (REPEATS + 1))
        assert programs[name].carried == [firsts[name], *following], name
        assert figures[f"{name}_compile_s"] == 0.5
        assert figures[f"{name}_samples_per_s"] > 0.0
    assert figures["training_step_memory_mb"] == 3.0
