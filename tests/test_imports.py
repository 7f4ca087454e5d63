"""Imports point one way: data, then environment, then learning, then commands."""

import ast
from pathlib import Path

import mjx_mimic

# A module may import what stands before it, in its own line too.
LAYERS = (
    "errors launch",
    "paths rotation sampling config config_file files",
    "motion",
    "mjcf kinematics robot",
    "editing cycle",
    "plausibility",
    "formats.archive formats.fields formats.pickles formats.table",
    "formats.native formats.mimickit formats.gmr formats.unitree formats.protomotions",
    "formats.tracking formats.locomujoco formats",
    "contacts validation plots",
    "bvh skeletons footing targets inverse retarget",
    "dataset",
    "reference reward observation termination tracking",
    "env",
    "disturbance",
    "networks normalizer ppo",
    "metrics learner",
    "gait walk curves balance steps leaps demands generate drawing pictures meshes",
    "playback evaluation mjx_engine c_engine scores evaluation_plot",
    "run training run_plots notebook",
    "viewing live desktop_view browser_view",
    "train evaluate export render motion.__main__ bench view",
)


def modules() -> dict[str, Path]:
    root = Path(mjx_mimic.__file__).parent
    names = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "mjx_mimic":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mjx_mimic."):
            found.add(node.module.removeprefix("mjx_mimic."))
            found |= {f"{node.module.removeprefix('mjx_mimic.')}.{alias.name}" for alias in node.names}
    return found & set(modules())


def test_every_module_has_a_place_and_looks_only_back():
    order = [name for layer in LAYERS for name in layer.split()]
    known = modules()
    assert sorted(order) == sorted(name for name in known if name)
    for name, path in known.items():
        if name:
            later = {other for other in imported(path) if order.index(other) > order.index(name)}
            assert not later, f"{name} imports {later}"


def test_no_private_imports_and_no_side_effects_of_the_package():
    for name, path in modules().items():
        assert "._src" not in path.read_text(), name
    tree = ast.parse(modules()[""].read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
