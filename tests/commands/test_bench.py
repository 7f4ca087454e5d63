"""`python -m mjx_mimic.bench`: what it refuses before anything compiles."""

import pytest
from helpers.refusals import refusal

from mjx_mimic import bench


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--repeats", "0"], "option --repeats: 0 will not do"),
        (["--clips", "-1"], "option --clips: -1 will not do"),
        (["--devices", "0"], "option --devices: 0 will not do"),
        (["--against", "a.json"], "option --against: it is of a prediction; add --compile-for"),
        (["--devices", "2"], "option --devices: it is of a prediction; add --compile-for"),
        (["--compile-for", "h100", "--sizes", "8"], "option --sizes: it is of what is measured here"),
        (["--compile-for", "h100", "--loops"], "option --loops: it is of what is measured here"),
        (["--compile-for", "h100", "--physics-impl", "warp"], "predict it with jax"),
        (["--preset", "mimickit", "--config", "a.yaml"], "cannot be joined"),
    ],
)
def test_bad_options_are_refused_in_a_line(options, words):
    assert words in refusal(bench.main, options)
