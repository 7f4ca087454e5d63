"""What a compiled program does, read from XLA's text of it: kernels, bytes and operations, by station.

The text is that of `jax.stages.Compiled.as_text()`: computations, which are lists of instructions. A `fusion`
runs another computation as one kernel, a `while` runs another one again and again.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SIZES = {"pred": 1, "s4": 1, "u4": 1, "c64": 8, "c128": 16, "token": 0}
"""Bytes of the types whose name does not end in their number of bits."""
NOT_RUN = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id"),
    *("replica-id", "iota", "opt-barrier", "domain", "add-dependency"),
}
"""Instructions that start nothing on the device, or only name what is there."""
FREE_CALLS = {
    "AllocateBuffer",
    "Sharding",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "AssumeGatherIndicesInBound",
}
COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
    "collective-broadcast",
)
HOST_TRANSFERS = ("infeed", "outfeed", "send", "recv")
HOST_MEMORY = "S(5)"
"""XLA's mark of a buffer in the host's memory."""
ON_CHIP = re.compile(r"S\([1-4]\)")
"""Marks of buffers in a TPU's own memories, which are not read from the main one."""
VIEWS = ("bitcast", "reshape")
SLICES = ("dynamic-slice", "slice", "gather")
IN_PLACE = "dynamic-update-slice"
MOVES = {
    *(
        *VIEWS,
        *SLICES,
        IN_PLACE,
        "broadcast",
        "transpose",
        "copy",
        "concatenate",
        "pad",
        "reverse",
        "convert",
    ),
    *("select", "scatter", "copy-start", "sort"),
}
"""Operations that compute nothing."""

_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\d+m\d+\w*)?)\[([\d,<=]*)\](\{[^{}]*\})?")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|body|branch_computations)=\{?((?:%?[\w.\-]+(?:, )?)+)\}?")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_TILE = re.compile(r"T\((\d+),(\d+)\)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_BATCH = re.compile(r'"?lhs_batch_dim(?:s|ension|ensions)"?[=:][\[{]([\d,"]*)[\]}]')


@dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    opcode: str
    shape: str
    arguments: str
    attributes: str
    is_root: bool

    @property
    def operands(self) -> list[str]:
        """Names of the instructions whose results it takes."""
        return re.findall(r"%([\w.\-]+)", self.arguments)

    @property
    def called(self) -> list[str]:
        """Names of the computations that it runs."""
        found = _CALLED.search(self.attributes)
        return [name.lstrip("%") for name in found[1].split(", ")] if found else []

    @property
    def op_name(self) -> str:
        """Where in the traced function it comes from; its own name where XLA made it up."""
        found = _OP_NAME.search(self.attributes)
        return found[1] if found else self.name


Computation = Mapping[str, Instruction]
Computations = Mapping[str, Computation]


@dataclass
class Cost:
    """What a station runs in one call of the program."""

    kernels: float = 0.0
    bytes: float = 0.0
    """Read from and written to the device's main memory."""
    flops: float = 0.0


@dataclass
class Program:
    """What a program runs in one call."""

    stations: dict[str, Cost]
    collectives: Counter[str] = field(default_factory=Counter)
    """Runs by kind."""
    collective_bytes: float = 0.0
    """Of the operands of all collectives."""
    host_transfers: list[str] = field(default_factory=list)
    """Where they come from."""
    unknown_loops: list[str] = field(default_factory=list)
    """Where loops come from whose number of runs the compiler does not know; each is counted as one run."""


def read_program(text: str, scopes: Mapping[str, str], rest: str) -> Program:
    """Count what a program runs.

    The contents of a loop count as often as it runs. A kernel belongs to the innermost of the named scopes
    (`jax.named_scope`) that it, or else the loop around it, comes from.

    Args:
        text: XLA's text of the compiled program.
        scopes: stations by the names of scopes, the outer ones first.
        rest: the station of everything else.
    """
    computations, entry = parse(text)
    program = Program({name: Cost() for name in (*scopes.values(), rest)})

    def walk(computation: Computation, times: int, around: str) -> None:
        for instruction in computation.values():
            inside = [station for scope, station in scopes.items() if scope in instruction.op_name]
            station, opcode = (inside or [around])[-1], instruction.opcode
            if opcode == "while":
                trips = runs_of_loop(computations, instruction)
                if trips is None:
                    program.unknown_loops.append(instruction.op_name)
                walk(computations[instruction.called[0]], times * (trips or 1), station)
            elif opcode in ("call", "conditional", "async-start"):
                for name in instruction.called:
                    walk(computations[name], times, station)
            elif runs(instruction):
                cost = program.stations[station]
                cost.kernels += times
                cost.bytes += times * bytes_of(computations, computation, instruction)
                cost.flops += times * flops_of(computations, computation, instruction)
                kind = opcode.removesuffix("-start")
                if kind in COLLECTIVES:
                    program.collectives[kind] += times
                    shapes = (computation[name].shape for name in instruction.operands)
                    program.collective_bytes += times * sum(shape_bytes(ON_CHIP.sub("", s)) for s in shapes)
                if kind in HOST_TRANSFERS or HOST_MEMORY in instruction.shape:
                    program.host_transfers.append(instruction.op_name)

    walk(computations[entry], 1, rest)
    return program


def parse(text: str) -> tuple[Computations, str]:
    """Return the computations of a program by their names, and the name of the one that is called."""
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", {}
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = computations[header[2]] = {}
            entry = header[2] if header[1] else entry
        elif found := _INSTRUCTION.match(line):
            is_root, name, rest = found.groups()
            end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
            opcode, opening = rest[end + 1 :].partition("(")[0], rest.index("(", end)
            closing = _closing(rest, opening)
            current[name] = Instruction(
                name, opcode, rest[:end], rest[opening + 1 : closing - 1], rest[closing:], bool(is_root)
            )
    return computations, entry


def _closing(text: str, start: int) -> int:
    """Return the index after the parenthesis that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index + 1
    raise ValueError(f"no closing parenthesis: {text[start : start + 100]}")


def runs_of_loop(computations: Computations, loop: Instruction) -> int | None:
    """Return how often a loop runs: as the compiler says, or while a counter from 0 is below a constant.

    None where that follows from what the loop computes.
    """
    if known := _TRIPS.search(loop.attributes):
        return int(known[1])
    found = _CONDITION.search(loop.attributes)
    condition = computations.get(found[1], {}) if found else {}
    for root in condition.values():
        if root.is_root and root.opcode == "compare" and "direction=LT" in root.attributes:
            counter, limit = (condition[name] for name in root.operands)
            if counter.opcode == "get-tuple-element" and limit.opcode == "constant":
                return int(limit.arguments)
    return None


def runs(instruction: Instruction) -> bool:
    """Return whether an instruction starts work on the device; the end of an asynchronous one does not."""
    if instruction.opcode in NOT_RUN or instruction.opcode.endswith(("-done", "-update")):
        return False
    target = _TARGET.search(instruction.attributes)
    return not (target and target[1] in FREE_CALLS)


def _arrays(shape: str) -> list[tuple[str, list[int], str]]:
    """Return type, dimensions and layout of each array of a shape."""
    return [
        (kind, [int(number.lstrip("<=")) for number in dimensions.split(",") if number], layout)
        for kind, dimensions, layout in _ARRAY.findall(shape)
    ]


def elements(shape: str) -> int:
    """Return how many numbers a shape has."""
    return sum(math.prod(dimensions) for _, dimensions, _ in _arrays(shape))


def shape_bytes(shape: str) -> int:
    """Return how many bytes of main memory a shape takes, with a TPU's padding of the last two dimensions."""
    total = 0
    for kind, dimensions, layout in _arrays(shape):
        if ON_CHIP.search(layout):
            continue
        tile = _TILE.search(layout)
        if tile and len(dimensions) > 1:
            minor = [int(number) for number in re.findall(r"\d+", layout.partition(":")[0])]
            for dimension, multiple in zip(minor[:2], (int(tile[2]), int(tile[1])), strict=True):
                dimensions[dimension] = -(-dimensions[dimension] // multiple) * multiple
        bits = re.search(r"\d+", kind)
        total += math.prod(dimensions) * SIZES.get(kind, max(int(bits[0]) // 8, 1) if bits else 0)
    return total


def bytes_of(computations: Computations, computation: Computation, kernel: Instruction) -> int:
    """Return the bytes that a kernel reads and writes.

    Of an array from which slices are read, or into which one is written in its place, only the slices count.
    """
    if kernel.opcode == "fusion":
        inner = computations[kernel.called[0]]
    else:  # as a fusion of this one operation
        names = dict.fromkeys(kernel.operands)
        inner = {name: replace(computation[name], opcode="parameter", is_root=False) for name in names}
        inner |= {kernel.name: replace(kernel, is_root=True)}
    parameters = [name for name, item in inner.items() if item.opcode == "parameter"]
    root = next(item for item in inner.values() if item.is_root)
    parts = [inner[name] for name in root.operands] if root.opcode == "tuple" else [root]
    return sum(_bytes_read(inner, name) for name in parameters) + sum(_bytes_written(inner, p) for p in parts)


def _bytes_read(inner: Computation, name: str) -> int:
    """Return the bytes that a fusion reads of its parameter `name`, or of a view of it."""
    whole, total = shape_bytes(inner[name].shape), 0
    for item in inner.values():
        if name not in item.operands:
            continue
        is_first = item.operands[0] == name
        if item.opcode in VIEWS:
            total += _bytes_read(inner, item.name)
        elif item.opcode in SLICES and is_first:
            total += shape_bytes(item.shape)
        elif not (item.opcode == IN_PLACE and is_first):
            return whole
    return min(whole, total)


def _bytes_written(inner: Computation, item: Instruction) -> int:
    """Return the bytes that a fusion writes of a result."""
    whole = item.shape
    while item.opcode in VIEWS:
        item = inner[item.operands[0]]
    if item.opcode == IN_PLACE:
        return shape_bytes(inner[item.operands[1]].shape)
    if item.opcode.endswith("-start") and whole.startswith("("):  # it names the operands too
        return shape_bytes(whole) - sum(shape_bytes(inner[name].shape) for name in item.operands)
    return 0 if item.opcode == "parameter" else shape_bytes(whole)


def flops_of(computations: Computations, computation: Computation, kernel: Instruction) -> float:
    """Return the floating-point operations of a kernel.

    A product of matrices takes two for each pair of numbers, a reduction one for each number that it reads,
    everything else that computes one for each of its results; a solver's call counts as nothing.
    """
    if kernel.opcode == "fusion":
        inner = computations[kernel.called[0]]
        return sum(flops_of(computations, inner, item) for item in inner.values())
    shapes = [computation[name].shape for name in kernel.operands]
    target = _TARGET.search(kernel.attributes)
    if kernel.opcode in ("dot", "convolution") or (target and "gemm" in target[1]):
        left, right = elements(shapes[0]), elements(shapes[1])
        found = _BATCH.search(kernel.attributes)
        batched = [int(number) for number in re.findall(r"\d+", found[1])] if found else []
        dimensions = _arrays(shapes[0])[0][1]
        batch = math.prod(dimensions[number] for number in batched)
        result = math.prod(_arrays(kernel.shape)[0][1])
        return 2.0 * math.sqrt(left * right * result / batch)
    if kernel.opcode in ("reduce", "reduce-window"):
        return float(elements(shapes[0]))
    if kernel.opcode in MOVES or kernel.opcode == "custom-call" or not runs(kernel):
        return 0.0
    return float(elements(kernel.shape))
