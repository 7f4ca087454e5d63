"""Properties of any configuration: YAML gives it back, bounds hold, no edit of its text is a traceback."""

import contextlib
import dataclasses
import tempfile
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from helpers.damage import WORDS
from helpers.refusals import refusal
from hypothesis import example, given
from hypothesis import strategies as st

from mjx_mimic import config_checks, config_yaml
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import yaml_bytes
from mjx_mimic.config import TrainConfig, Within
from mjx_mimic.presets import PRESETS


def values(hint: Any) -> st.SearchStrategy:
    """Whatever a field of this type may hold."""
    bounds = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Within)]
    kind = typing.get_args(hint)[0] if bounds else hint
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return configs(kind)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is typing.Union:  # a number or a word
        return st.sampled_from(typing.get_args(arguments[1])) | values(
            typing.Annotated[arguments[0], *bounds]
        )
    if origin is types.UnionType:
        inner = typing.Annotated[arguments[0], *bounds] if bounds else arguments[0]
        return st.none() | values(inner)
    if origin is tuple:
        inner = typing.Annotated[arguments[0], *bounds] if bounds else arguments[0]
        return st.lists(values(inner), max_size=5).map(tuple)
    if kind is bool:
        return st.booleans()
    if kind is str:
        return st.text(max_size=20) | st.text(st.characters(), max_size=20)
    if kind is int:
        return st.integers(int(bounds[0].low), int(bounds[0].high))
    assert kind is float
    return st.floats(bounds[0].low, bounds[0].high)


def configs(kind: Any = TrainConfig) -> st.SearchStrategy:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values(hint) for name, hint in hints.items()})


def bounded(
    kind: Any = TrainConfig, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Within]]:
    """Every field with bounds, its type, and them."""
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            yield from bounded(hint, (*path, name))
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, Within):
                yield (*path, name), typing.get_args(hint)[0], extra


def read(text: bytes) -> TrainConfig:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.yaml"
        path.write_bytes(text)
        return config_yaml.read_config(path)


def text_of(settings: TrainConfig) -> bytes:
    """As a run folder has it."""
    return yaml_bytes(config_yaml.to_dict(settings))


@given(configs())
@example(
    dataclasses.replace(
        TrainConfig(), motion=("1:30", "=", "<<", "0x1F", "1e-4", "~", "\x85", "\x85\u2028\ufeff")
    )
)
def test_any_configuration_within_its_bounds_survives_yaml(settings):
    config_checks.check_bounds(settings)
    assert read(text_of(settings)) == settings


@given(st.sampled_from(list(bounded())), st.data())
def test_any_number_out_of_its_bounds_is_refused_in_a_line(chosen, data):
    path, kind, bounds = chosen
    is_whole = kind in (int, tuple[int, ...], int | None, int | Literal["all"])
    if is_whole:
        number = data.draw(st.integers(max_value=int(bounds.low) - 1) | st.integers(int(bounds.high) + 1))
    else:
        outside = st.floats(max_value=bounds.low, exclude_max=True) | st.floats(bounds.high, exclude_min=True)
        number = data.draw(outside | st.just(float("nan")))
    written: Any = [1, number] if typing.get_origin(kind) is tuple else number
    for name in reversed(path):
        written = {name: written}
    settings = read(yaml_bytes(written))
    message = refusal(config_checks.check_bounds, settings)
    assert f"--{'.'.join(path)}".replace("_", "-") in message


PLACES = st.integers(0, 10_000)
EDITS = st.tuples(
    st.sampled_from(["put", "take", "replace"]),
    PLACES,
    st.integers(1, 30),
    st.sampled_from(WORDS) | st.binary(max_size=6) | st.text(max_size=6).map(str.encode),
)


def edited(text: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    for what, place, length, word in edits:
        place %= len(text) + 1
        end = place if what == "put" else place + length
        text = text[:place] + (b"" if what == "take" else word) + text[end:]
    return text


@given(st.sampled_from(sorted(PRESETS)), st.lists(EDITS, min_size=1, max_size=4))
def test_any_edit_of_a_file_gives_settings_or_a_line(preset, edits):
    try:
        settings = read(edited(text_of(PRESETS[preset]), edits))
        assert isinstance(settings, TrainConfig)
        config_checks.check(settings, devices=2)
    except UserError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000


@pytest.mark.parametrize("word", WORDS)
def test_any_odd_word_in_the_place_of_a_value_gives_settings_or_a_line(word):
    for name in (b"seed", b"push", b"motion", b"env", b"start_sampling", b"config"):
        with contextlib.suppress(UserError):
            config_checks.check(read(name + b": " + word), devices=2)


@pytest.mark.parametrize("control_hz", [30.0, 29.97, 23.976, 50.0, 1.0 / 0.033])
def test_physics_takes_whole_steps_also_where_the_rates_are_rounded(control_hz):
    for steps in (1, 3, 7):
        config_checks.check_physics_rate("--physics-hz", steps * control_hz, control_hz)
        config_checks.check_physics_rate("--physics-hz", float(f"{steps * control_hz:.8g}"), control_hz)
    for rate in (0.5 * control_hz, 1.01 * control_hz, 2.5 * control_hz):
        with pytest.raises(UserError, match=r"--physics-hz: .* use a multiple of"):
            config_checks.check_physics_rate("--physics-hz", rate, control_hz)
