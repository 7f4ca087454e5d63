"""Programs whose kernels, bytes and operations are counted by hand, and one that XLA compiles here."""

import re

import jax
import jax.numpy as jnp
import pytest

from mjx_mimic.learning import hlo
from mjx_mimic.learning.hlo import read_program

SCOPES = {"outer": "outer", "inner": "inner"}

LOOPS = """HloModule jit_f, is_scheduled=true

%fused_add (param_0: f32[8,4]) -> f32[8,4] {
  %param_0 = f32[8,4]{1,0} parameter(0)
  ROOT %add.1 = f32[8,4]{1,0} add(%param_0, %param_0), metadata={op_name="f/outer/inner/add"}
}

%inner_body (arg: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %arg = (s32[], f32[8,4]{1,0}) parameter(0)
  %count = s32[] get-tuple-element(%arg), index=0
  %x = f32[8,4]{1,0} get-tuple-element(%arg), index=1
  %sum = f32[8,4]{1,0} fusion(%x), kind=kLoop, calls=%fused_add, metadata={op_name="f/outer/inner/add"}
  %copy.7 = f32[8,4]{1,0} copy(%sum)
  ROOT %out = (s32[], f32[8,4]{1,0}) tuple(%count, %copy.7)
}

%outer_body (arg.1: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %arg.1 = (s32[], f32[8,4]{1,0}) parameter(0)
  %loop = (s32[], f32[8,4]{1,0}) while(%arg.1), body=%inner_body, metadata={op_name="f/outer/inner"}, TRIPS(3)
  %y = f32[8,4]{1,0} get-tuple-element(%loop), index=1
  %negated = f32[8,4]{1,0} negate(%y)
  %i = s32[] get-tuple-element(%loop), index=0
  ROOT %result = (s32[], f32[8,4]{1,0}) tuple(%i, %negated)
}

%less (arg.2: (s32[], f32[8,4])) -> pred[] {
  %arg.2 = (s32[], f32[8,4]{1,0}) parameter(0)
  %counter = s32[] get-tuple-element(%arg.2), index=0
  %limit = s32[] constant(5)
  ROOT %lt = pred[] compare(%counter, %limit), direction=LT
}

%open (arg.3: (s32[], f32[8,4])) -> pred[] {
  %arg.3 = (s32[], f32[8,4]{1,0}) parameter(0)
  %x.1 = f32[8,4]{1,0} get-tuple-element(%arg.3), index=1
  ROOT %any = pred[] fusion(%x.1), kind=kLoop, calls=%fused_any
}

ENTRY %main (p: f32[8,4]) -> f32[] {
  %p = f32[8,4]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[8,4]{1,0}) tuple(%zero, %p)
  %steps = (s32[], f32[8,4]{1,0}) while(%start), condition=%less, body=%outer_body, NAMED(f/outer)
  %z = f32[8,4]{1,0} get-tuple-element(%steps), index=1
  %until = (s32[], f32[8,4]{1,0}) while(%start), condition=%open, body=%inner_body, NAMED(f/until)
  %total = f32[] reduce(%z, %zero), dimensions={0,1}, to_apply=%plus, metadata={op_name="f/sum"}
  %reduced = f32[] all-reduce-start(%total), replica_groups={}, to_apply=%plus
  ROOT %done = f32[] all-reduce-done(%reduced)
}
"""
LOOPS = re.sub(r"TRIPS\((\d)\)", r'backend_config={"known_trip_count":{"n":"\1"},"other":"x"}', LOOPS)
LOOPS = re.sub(r"NAMED\((.*?)\)", r'metadata={op_name="\1"}', LOOPS)


def test_loops_count_as_often_as_they_run_and_belong_to_their_scope():
    program = read_program(LOOPS, SCOPES, "rest")
    array = 8 * 4 * 4
    inner, outer, rest = (program.stations[name] for name in ("inner", "outer", "rest"))
    assert inner.kernels == 15 * 2 + 1  # the fusion names its scope in the other loop as well
    assert inner.bytes == 31 * 2 * array
    assert inner.flops == 16 * 32  # a copy computes nothing
    assert (outer.kernels, outer.bytes, outer.flops) == (5, 5 * 2 * array, 5 * 32)
    # The copy of the loop of unknown length, the sum, and the all-reduce, whose end is not a kernel.
    assert rest.kernels == 3
    assert rest.bytes == 2 * array + (array + 4 + 4) + (4 + 4)


def test_collectives_and_loops_of_unknown_length_are_named():
    program = read_program(LOOPS, SCOPES, "rest")
    assert dict(program.collectives) == {"all-reduce": 1}
    assert program.collective_bytes == 4
    assert program.unknown_loops == ["f/until"]
    assert program.host_transfers == []


def entry(body: str, fused: str = "") -> str:
    return f"HloModule m\n{fused}\nENTRY %main (p: f32[2]) -> f32[2] {{\n{body}\n}}\n"


def total(text: str) -> hlo.Cost:
    return read_program(text, {}, "all").stations["all"]


def test_only_the_slices_of_an_array_count_that_a_kernel_reads_or_writes():
    fused = """
%fused (a: f32[100,8], b: s32[], c: f32[100,8]) -> f32[100,8] {
  %a = f32[100,8]{1,0} parameter(0)
  %b = s32[] parameter(1)
  %c = f32[100,8]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %row = f32[1,8]{1,0} dynamic-slice(%a, %b, %zero), dynamic_slice_sizes={1,8}
  %twice = f32[1,8]{1,0} add(%row, %row)
  ROOT %new = f32[100,8]{1,0} dynamic-update-slice(%c, %twice, %b, %zero)
}"""
    body = """  %a = f32[100,8]{1,0} parameter(0)
  %b = s32[] parameter(1)
  %c = f32[100,8]{1,0} parameter(2)
  ROOT %f = f32[100,8]{1,0} fusion(%a, %b, %c), kind=kLoop, calls=%fused"""
    cost = total(entry(body, fused))
    assert cost.bytes == 8 * 4 + 4 + 8 * 4  # a row read, its number, a row written
    assert cost.flops == 8


@pytest.mark.parametrize(
    ("line", "flops"),
    [
        ("dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}", 2 * 6 * 10 * 4),
        ('custom-call(%a, %b), custom_call_target="__cublas$gemm"', 2 * 6 * 10 * 4),
    ],
)
def test_a_product_of_matrices_takes_two_operations_for_each_pair(line, flops):
    body = f"""  %a = f32[6,10]{{1,0}} parameter(0)
  %b = f32[10,4]{{1,0}} parameter(1)
  ROOT %c = (f32[6,4]{{1,0}}, s8[1024]{{0}}) {line}"""
    assert total(entry(body)).flops == flops


def test_batched_products_count_every_batch():
    body = """  %a = f32[7,6,10]{2,1,0} parameter(0)
  %b = f32[7,10,4]{2,1,0} parameter(1)
  ROOT %c = f32[7,6,4]{2,1,0} dot(%a, %b), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_batch_dims={0}"""
    assert total(entry(body)).flops == pytest.approx(2 * 7 * 6 * 10 * 4)


def test_a_tpu_pads_the_last_two_dimensions_and_keeps_some_arrays_on_the_chip():
    assert hlo.shape_bytes("f32[10,3]{1,0:T(8,128)}") == 16 * 128 * 4
    assert hlo.shape_bytes("f32[10,3]{0,1:T(8,128)}") == 8 * 128 * 4
    assert hlo.shape_bytes("bf16[4,10,3]{2,1,0:T(8,128)(2,1)}") == 4 * 16 * 128 * 2
    assert hlo.shape_bytes("f32[10,3]{1,0:T(8,128)S(1)}") == 0
    assert hlo.shape_bytes("(pred[5]{0}, u8[3]{0}, token[])") == 8


def test_what_is_sent_counts_wherever_it_lies():
    body = """  %a = f32[4]{0:T(128)S(1)} parameter(0)
  ROOT %b = f32[4]{0:T(128)S(1)} all-reduce(%a), to_apply=%plus"""
    program = read_program(entry(body), {}, "all")
    assert (program.collective_bytes, program.stations["all"].bytes) == (16, 0)


def test_transfers_to_the_host_are_found():
    body = """  %a = f32[4]{0} parameter(0)
  %b = f32[4]{0:S(5)} copy(%a), metadata={op_name="f/offload"}
  ROOT %c = f32[4]{0} copy(%a)"""
    assert read_program(entry(body), {}, "all").host_transfers == ["f/offload"]


def test_of_a_program_that_xla_compiles_the_operations_are_those_of_the_loops():
    def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        with jax.named_scope("inner"):
            return jnp.tanh(x @ x), None

    def function(x: jax.Array) -> jax.Array:
        with jax.named_scope("outer"):
            x = jax.lax.scan(step, x, length=7)[0]
        return x + 1.0

    text = jax.jit(function).lower(jnp.eye(16)).compile().as_text()
    assert text is not None
    program = read_program(text, SCOPES, "rest")
    products, tanh = 2 * 16**3, 16 * 16
    assert program.stations["inner"].flops == pytest.approx(7 * (products + tanh), rel=0.02)
    assert program.unknown_loops == []
    assert sum(cost.flops for cost in program.stations.values()) < 7.1 * (products + 2 * tanh)
