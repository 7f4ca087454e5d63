"""Any function of arrays as an ONNX graph: its traced operations, one by one.

A function is traced to a jaxpr. What depends on no input is computed here and becomes a constant; every other
operation becomes the ONNX operators that compute the same. So an exported model is the code that trained,
not a second copy of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend import core
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # what ONNX Runtime has read since 1.11

Shaped = jax.ShapeDtypeStruct


@dataclass(frozen=True)
class Symbol:
    """A value that is known only when the model runs."""

    name: str


Value = Symbol | NDArray


@dataclass
class Graph:
    """Nodes and constants so far."""

    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, NDArray] = field(default_factory=dict)
    joined: dict[str, tuple[int, list[tuple[Value, int]]]] = field(default_factory=dict)
    """Of concatenations, the axis and the parts with their sizes, so that a slice of one takes its part."""
    _names: dict[tuple, str] = field(default_factory=dict)

    def name(self, value: Any) -> str:
        """Return the name of a value; one that is known becomes a constant, equal ones the same."""
        if isinstance(value, Symbol):
            return value.name
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        name = self._names.setdefault(key, f"constant_{len(self._names)}")
        self.constants[name] = array
        return name

    def node(self, operator: str, *inputs: Any, **attributes: Any) -> Symbol:
        """Add a node and return its output."""
        out = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.name(x) for x in inputs], [out], **attributes))
        return Symbol(out)

    def ints(self, values: Sequence[int]) -> NDArray:
        """Return integers as ONNX wants shapes and axes."""
        return np.asarray(values, np.int64)

    def reshape(self, value: Any, shape: Sequence[int]) -> Symbol:
        """Add a reshape."""
        return self.node("Reshape", value, self.ints(shape))


def to_onnx(
    function: Callable[..., Mapping[str, jax.Array]], inputs: Mapping[str, Shaped], name: str
) -> onnx.ModelProto:
    """Convert a function into a checked ONNX model.

    Args:
        function: (one array for each input, by name) -> outputs by name.
        inputs: shapes and types of the inputs; those that nothing depends on are left out of the model.
        name: of the graph.

    Raises:
        NotImplementedError: an operation that has no rule here.
    """
    outputs: list[str] = []

    def flat(*values: jax.Array) -> list[jax.Array]:
        found = function(**dict(zip(inputs, values, strict=True)))
        outputs[:] = list(found)
        return list(found.values())

    closed = jax.make_jaxpr(flat)(*inputs.values())
    graph = Graph()
    results = _inline(graph, closed.jaxpr, closed.consts, [Symbol(key) for key in inputs])
    for key, value in zip(outputs, results, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.name(value)], [key]))
    nodes, read = _needed(graph.nodes, outputs)

    def described(key: str, shaped: Any) -> Any:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(shaped.dtype))
        return helper.make_tensor_value_info(key, dtype, list(shaped.shape))

    return checked(
        helper.make_graph(
            nodes,
            name,
            [described(key, shaped) for key, shaped in inputs.items() if key in read],
            [described(key, shaped) for key, shaped in zip(outputs, closed.out_avals, strict=True)],
            [numpy_helper.from_array(x, key) for key, x in graph.constants.items() if key in read],
        )
    )


def _needed(nodes: Sequence[Any], outputs: Sequence[str]) -> tuple[list[Any], set[str]]:
    """Return the nodes that the outputs depend on, in their order, and all names that these read."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if not read.isdisjoint(node.output):
            read.update(node.input)
            kept.append(node)
    return kept[::-1], read


def checked(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Return the model of a graph, after ONNX's own checks."""
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="mjx_mimic")
    onnx.checker.check_model(model)
    return model


def _inline(graph: Graph, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
    """Add the operations of a jaxpr to the graph and return its outputs."""
    values: dict[Any, Value] = {}
    values.update(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, core.Literal):
            shaped: Any = atom.aval
            return np.asarray(atom.val, shaped.dtype)
        return values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        found: Any
        if inner is not None and equation.primitive.name in _CALLS:
            found = _inline(graph, inner.jaxpr, inner.consts, inputs)
        elif not any(isinstance(x, Symbol) for x in inputs):
            found = equation.primitive.bind(*inputs, **equation.params)
            found = [np.asarray(x) for x in (found if equation.primitive.multiple_results else [found])]
        elif equation.primitive.name in _RULES:
            found = _RULES[equation.primitive.name](graph, equation, *inputs)
            found = found if isinstance(found, list) else [found]
        else:
            raise NotImplementedError(f"no ONNX rule for the operation {equation.primitive.name}")
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


_CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat"}

Rule = Callable[..., Symbol | list[Symbol]]


def _operator(name: str) -> Rule:
    """Return the rule of an operation that is one ONNX operator on the same inputs."""
    return lambda graph, equation, *inputs: graph.node(name, *inputs)


def _shape(equation: Any) -> tuple[int, ...]:
    return tuple(equation.outvars[0].aval.shape)


def _broadcast(graph: Graph, equation: Any, value: Value) -> Symbol:
    shape = _shape(equation)
    ones = [1] * len(shape)
    for axis, size in zip(
        equation.params["broadcast_dimensions"], equation.invars[0].aval.shape, strict=True
    ):
        ones[axis] = size
    return graph.node("Expand", graph.reshape(value, ones), graph.ints(shape))


def _concatenate(graph: Graph, equation: Any, *values: Value) -> Symbol:
    axis = equation.params["dimension"]
    found = graph.node("Concat", *values, axis=axis)
    sizes = [variable.aval.shape[axis] for variable in equation.invars]
    graph.joined[found.name] = axis, list(zip(values, sizes, strict=True))
    return found


def _slice(graph: Graph, equation: Any, value: Value) -> Symbol:
    params = equation.params
    starts, ends = list(params["start_indices"]), list(params["limit_indices"])
    steps = params["strides"] or [1] * len(starts)
    axis, parts = graph.joined.get(graph.name(value), (0, []))
    before = 0
    for part, size in parts:
        if before <= starts[axis] and ends[axis] <= before + size:
            value, starts[axis], ends[axis] = part, starts[axis] - before, ends[axis] - before
            break
        before += size
    return graph.node("Slice", value, *map(graph.ints, (starts, ends, range(len(starts)), steps)))


def _dynamic_slice(graph: Graph, equation: Any, value: Value, *starts: Value) -> Symbol:
    shape, sizes = equation.invars[0].aval.shape, equation.params["slice_sizes"]
    first = graph.node(
        "Concat",
        *(graph.node("Cast", graph.reshape(start, [1]), to=onnx.TensorProto.INT64) for start in starts),
        axis=0,
    )
    last = graph.ints([whole - size for whole, size in zip(shape, sizes, strict=True)])
    first = graph.node("Max", graph.node("Min", first, last), graph.ints([0] * len(sizes)))
    return graph.node("Slice", value, first, graph.node("Add", first, graph.ints(sizes)))


def _gather(graph: Graph, equation: Any, value: Value, indices: Value) -> Symbol:
    """Rows along one axis, whole in the others: `array[..., indices, :]`."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    shape = equation.invars[0].aval.shape
    axes = numbers.start_index_map
    others_whole = all(sizes[i] == shape[i] for i in range(len(shape)) if i not in axes)
    if len(axes) != 1 or numbers.collapsed_slice_dims != axes or not others_whole:
        raise NotImplementedError(f"no ONNX rule for this gather: {numbers}")
    (axis,) = axes
    indices_shape = equation.invars[1].aval.shape[:-1]
    found = graph.node("Gather", value, graph.reshape(indices, indices_shape), axis=axis)
    # ONNX leaves the axes of the indices where `axis` was; JAX has the slices' own axes at `offset_dims`.
    rank = len(_shape(equation))
    offset = list(numbers.offset_dims)
    batch = [i for i in range(rank) if i not in offset]
    order = offset[:axis] + batch + offset[axis:]
    return graph.node("Transpose", found, perm=list(np.argsort(order)))


def _dot(graph: Graph, equation: Any, left: Value, right: Value) -> Symbol:
    (contracted, batch) = equation.params["dimension_numbers"]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names = [["" for _ in variable.aval.shape] for variable in equation.invars]
    for pairs in (batch, contracted):
        for axes in zip(*pairs, strict=True):
            letter = next(letters)
            for operand, axis in enumerate(axes):
                names[operand][axis] = letter
    out = [names[0][axis] for axis in batch[0]]
    for own in names:
        for axis, letter in enumerate(own):
            if not letter:
                own[axis] = next(letters)
                out.append(own[axis])
    terms = ["".join(own) for own in names]
    return graph.node("Einsum", left, right, equation=f"{terms[0]},{terms[1]}->{''.join(out)}")


def _reduce(name: str) -> Rule:
    def rule(graph: Graph, equation: Any, value: Value) -> Symbol:
        axes = equation.params["axes"]
        if name == "ReduceSum":  # whose axes are an input in this opset, and an attribute of all others
            return graph.node(name, value, graph.ints(axes), keepdims=0)
        return graph.node(name, value, axes=list(axes), keepdims=0)

    return rule


def _atan2(graph: Graph, equation: Any, y: Value, x: Value) -> Symbol:
    del equation
    zero, half_turn = np.float32(0.0), np.float32(np.pi)
    on_axis = graph.node("Equal", x, zero)
    angle = graph.node("Atan", graph.node("Div", y, graph.node("Where", on_axis, np.float32(1.0), x)))
    is_up = graph.node("GreaterOrEqual", y, zero)
    behind = graph.node("Add", angle, graph.node("Where", is_up, half_turn, -half_turn))
    angle = graph.node("Where", graph.node("Less", x, zero), behind, angle)
    return graph.node("Where", on_axis, graph.node("Mul", graph.node("Sign", y), half_turn / 2), angle)


def _unstack(graph: Graph, equation: Any, value: Value) -> list[Symbol]:
    axis = equation.params["axis"]
    count = equation.invars[0].aval.shape[axis]
    return [graph.node("Gather", value, graph.ints([i])[0], axis=axis) for i in range(count)]


def _stack(graph: Graph, equation: Any, *values: Value) -> Symbol:
    axis = equation.params["axis"]
    parts = [graph.node("Unsqueeze", value, graph.ints([axis])) for value in values]
    return graph.node("Concat", *parts, axis=axis)


_SAME = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "neg": "Neg",
    "abs": "Abs",
    "floor": "Floor",
    "round": "Round",
    "sqrt": "Sqrt",
    "sign": "Sign",
    "sin": "Sin",
    "cos": "Cos",
    "exp": "Exp",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "lt": "Less",
    "gt": "Greater",
    "le": "LessOrEqual",
    "ge": "GreaterOrEqual",
    "eq": "Equal",
    "and": "And",
    "or": "Or",
    "not": "Not",
    "stop_gradient": "Identity",
}

_RULES: dict[str, Rule] = {
    **{name: _operator(operator) for name, operator in _SAME.items()},
    "ne": lambda graph, equation, x, y: graph.node("Not", graph.node("Equal", x, y)),
    "expm1": lambda graph, equation, x: graph.node("Sub", graph.node("Exp", x), np.float32(1.0)),
    "square": lambda graph, equation, x: graph.node("Mul", x, x),
    "rem": lambda graph, equation, x, y: graph.node("Mod", x, y, fmod=1),
    "rsqrt": lambda graph, equation, x: graph.node("Reciprocal", graph.node("Sqrt", x)),
    "integer_pow": lambda graph, equation, x: graph.node("Pow", x, np.float32(equation.params["y"])),
    "clamp": lambda graph, equation, low, x, high: graph.node("Min", graph.node("Max", x, low), high),
    "select_n": lambda graph, equation, which, no, yes: graph.node("Where", which, yes, no),
    "convert_element_type": lambda graph, equation, x: graph.node(
        "Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
    ),
    "reshape": lambda graph, equation, x: graph.reshape(x, _shape(equation)),
    "squeeze": lambda graph, equation, x: graph.reshape(x, _shape(equation)),
    "expand_dims": lambda graph, equation, x: graph.reshape(x, _shape(equation)),
    "transpose": lambda graph, equation, x: graph.node(
        "Transpose", x, perm=list(equation.params["permutation"])
    ),
    "concatenate": _concatenate,
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "dot_general": _dot,
    "atan2": _atan2,
    "stack": _stack,
    "unstack": _unstack,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
}
