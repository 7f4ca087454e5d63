"""Test the tests: change one thing at a time in a module and see whether its tests notice.

    python tests/mutation.py                            # a sample of 25 mutants of each module, about an hour
    python tests/mutation.py task/reward.py --sample 0  # all mutants of one module
    python tests/mutation.py learning/ppo.py --line 95  # those of one line

pytest does not collect this file. Each mutant lives in a process of its own, forked from one that has
imported JAX and MuJoCo but none of the package. There an import hook puts the changed module in place of the
real one; no file is written. The tests of `TESTS` run in their order and stop at the first failure. A mutant
that all pass has survived: either a test is missing, or the change makes no difference.
"""

import argparse
import ast
import copy
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TESTS = {  # the fastest first
    "task/reward.py": ("task/test_reward.py",),
    "task/reference.py": ("task/test_reference.py",),
    "task/termination.py": ("task/test_termination.py",),
    "task/env.py": (
        "task/test_gliding_env.py",
        "task/test_make_env.py",
        "task/test_env.py",
        "task/test_physical_truth.py",
    ),
    "learning/ppo.py": ("learning/test_ppo.py", "learning/test_learner.py"),
}

BINARY = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
TWINS = {"minimum": "maximum", "any": "all", "sum": "mean", "floor": "ceil", "square": "abs"}
TWINS |= {after: before for before, after in TWINS.items()}


@dataclass(frozen=True)
class Mutant:
    """A changed module."""

    module: str
    line: int
    before: str
    after: str
    source: str


def replacements(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901
    """What may stand in a node's place: the same with one thing changed."""

    def changed(**values: object) -> ast.AST:
        new = copy.copy(node)
        for name, value in values.items():
            setattr(new, name, value)
        return new

    match node:
        case ast.BinOp() if type(node.op) in BINARY:
            yield changed(op=BINARY[type(node.op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Invert() | ast.Not()):
            yield node.operand
        case ast.Compare(ops=[operator]):
            yield from (changed(ops=[other()]) for other in COMPARISONS[type(operator)])
        case ast.IfExp():
            yield changed(body=node.orelse, orelse=node.body)
        case ast.If() if not isinstance(node.test, ast.Compare):
            yield changed(test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Constant(value=bool()):
            yield changed(value=not node.value)
        case ast.Constant(value=int()):
            yield changed(value=node.value + 1)
        case ast.Constant(value=float()):
            yield changed(value=1.5 * node.value or 1.0)
        case ast.Attribute(attr=name) if name in TWINS:
            yield changed(attr=TWINS[name])
        case ast.Call(func=function, args=arguments, keywords=keywords):
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name == "where" and len(arguments) == 3:
                yield changed(args=[arguments[0], arguments[2], arguments[1]])
            # A class without one of its fields is an error at once, and tells nothing of the tests.
            if not name[:1].isupper():
                yield from (changed(keywords=[k for k in keywords if k is not one]) for one in keywords)


def expressions(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every node below `node`, but types and texts, as (parent, field, index in it), in a fixed order."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST):
                yield node, field, index
                yield from expressions(child)


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module."""
    tree = ast.parse((ROOT / "mjx_mimic" / module).read_text())
    found = []
    for parent, field, index in list(expressions(tree)):
        place = getattr(parent, field)
        node = place if index is None else place[index]

        for new in list(replacements(node)):
            put(parent, field, index, new)
            source = ast.unparse(ast.fix_missing_locations(tree))
            put(parent, field, index, node)
            before, after = (ast.unparse(n).split("\n")[0] for n in (node, new))
            found.append(Mutant(module, node.lineno, before, after, source))
    return found


def put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    """Put a node in a place as `expressions` gives it."""
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def install(mutant: Mutant) -> None:
    """Let this process import the mutant in place of its module."""
    path = ROOT / "mjx_mimic" / mutant.module
    wanted = "mjx_mimic." + mutant.module.removesuffix(".py").replace("/", ".")

    class Loader(importlib.machinery.SourceFileLoader):
        def get_code(self, fullname: str) -> object:
            return compile(mutant.source, str(path), "exec")

    class Finder(importlib.machinery.PathFinder):
        @classmethod
        def find_spec(cls, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
            if name != wanted:
                return None
            return importlib.util.spec_from_file_location(name, path, loader=Loader(name, str(path)))

    sys.meta_path.insert(0, Finder)


def run_tests(files: Sequence[str], mutant: Mutant | None) -> int:
    """Run tests in this process, silently; pytest's exit code."""
    import pytest

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if mutant:
        install(mutant)
    return int(pytest.main(["-x", "-p", "no:cacheprovider", *(str(ROOT / "tests" / file) for file in files)]))


def forked(call: Callable[[], int], limit: float) -> tuple[int | None, float]:
    """Exit code of a call in a process of its own, None after `limit` s; and the time that it took, s."""
    start, child = time.monotonic(), os.fork()
    if child == 0:
        code = 70
        try:
            code = call()
        finally:
            os._exit(code)
    while time.monotonic() - start < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), time.monotonic() - start
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None, limit


def main() -> int:
    """Run the mutants that the command line asks for, and print what became of them."""
    parser = argparse.ArgumentParser(description="Change the package a little; see whether tests notice.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--sample", type=int, default=25, help="mutants of each module; 0: all")
    parser.add_argument("--line", type=int, help="only those of this line of the module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    arguments = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.chdir(ROOT)
    # Whatever takes long to import and starts no threads; the package itself is for each child to import.
    for name in ("jax", "flax.struct", "optax", "mujoco.mjx", "pytest", "scipy.spatial", "scipy.stats"):
        importlib.import_module(name)

    table, survivors = [], []
    for module in arguments.modules or TESTS:
        code, seconds = forked(lambda module=module: run_tests(TESTS[module], None), 1800.0)
        if code != 0:
            print(f"{module}: its tests fail as it is (exit code {code})")
            return 1
        everything = [m for m in mutants(module) if arguments.line in (None, m.line)]
        sample = everything
        if 0 < arguments.sample < len(everything):
            sample = random.Random(arguments.seed).sample(everything, arguments.sample)
            sample.sort(key=lambda m: m.line)
        alive = []
        for mutant in sample:
            code, taken = forked(
                lambda mutant=mutant: run_tests(TESTS[mutant.module], mutant), 60.0 + 2.0 * seconds
            )
            survived = code is not None and code <= 0  # a crash of the process is no failure of a test
            fate = f"crashed (signal {-code})" if code and survived else "survived" if survived else "killed"
            print(
                f"{module}:{mutant.line}: {mutant.before} -> {mutant.after}: {fate}, {taken:.0f} s",
                flush=True,
            )
            alive += [mutant] * survived
        survivors += alive
        table.append((module, len(everything), len(sample), len(sample) - len(alive), len(alive)))

    print(f"\n{'module':24}{'mutants':>9}{'run':>6}{'killed':>8}{'survived':>10}")
    for row in table:
        print(f"{row[0]:24}{row[1]:9}{row[2]:6}{row[3]:8}{row[4]:10}")
    for mutant in survivors:
        print(f"survivor: mjx_mimic/{mutant.module}:{mutant.line}: {mutant.before} -> {mutant.after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
