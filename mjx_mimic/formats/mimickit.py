"""MimicKit's `.pkl` clips (https://github.com/xbpeng/MimicKit, `mimickit/anim/motion.py`).

A pickled dict of `loop_mode` (0 clamp, 1 wrap), `fps` and `frames`: T lists of 35 numbers, which are root
position (m), root rotation as an exponential map (rotation vector, rad, pelvis to world) and 29 hinge angles
(rad) in the order of `G1_JOINTS`.

A pickle is a program. This reader runs only those that build numbers, text, lists and dicts.
"""

import io
import pickle
import pickletools
from pathlib import Path
from typing import NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.errors import UserError, quoted
from mjx_mimic.files import read_bytes
from mjx_mimic.motion import G1_JOINTS, Motion, check_finite, make_motion

_COLUMNS = ("root x", "root y", "root z", "root rotation x", "root rotation y", "root rotation z", *G1_JOINTS)
_LOOPS = {0: "clamp", 1: "wrap"}

_MAX_BYTES = 64 * 2**20  # over 200 000 frames at 9 bytes a number: half an hour at 120 fps
_MAX_FRAMES = 250_000

_CONTAINERS = frozenset(("EMPTY_LIST", "LIST", "EMPTY_DICT", "DICT"))
_MEMO_WRITES = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_GLOBALS = frozenset(("GLOBAL", "STACK_GLOBAL", "INST"))
_PLAIN = (
    _CONTAINERS
    | _MEMO_WRITES
    | {"PROTO", "FRAME", "STOP", "MARK"}
    | {"SETITEM", "SETITEMS", "APPEND", "APPENDS"}
    | {"MEMOIZE", "GET", "BINGET", "LONG_BINGET"}
    | {"NONE", "NEWTRUE", "NEWFALSE"}
    | {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
    | {"FLOAT", "BINFLOAT"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)


def read(path: str | Path) -> Motion:
    """Reads a MimicKit clip; it is named after its file.

    Raises:
        UserError: not a pickle of plain data, or not a clip of the 29-hinge G1.
    """
    path = Path(path)
    clip = _unpickle(read_bytes(path, _MAX_BYTES), path)
    if not isinstance(clip, dict):
        raise UserError(f"{path}: pickle holds a {type(clip).__name__}, not a dict; give a MimicKit clip")
    for field in ("loop_mode", "fps", "frames"):
        if field not in clip:
            raise UserError(
                f"{path}: field '{field}' is missing, so this is no MimicKit clip; export it again"
            )
    loop_mode = clip["loop_mode"]
    if type(loop_mode) is not int or loop_mode not in _LOOPS:
        raise UserError(f"{path}: loop_mode is not one of the integers 0 (clamp) and 1 (wrap); set it to one")

    frames = _frames(clip["frames"], path)
    return make_motion(
        name=path.stem,
        fps=clip["fps"],
        root_pos=frames[:, :3],
        root_quat=Rotation.from_rotvec(frames[:, 3:6]).as_quat(scalar_first=True),
        dof_pos=frames[:, 6:],
        joint_names=G1_JOINTS,
        loop=_LOOPS[loop_mode],
        source=path,
    )


def _frames(frames: object, path: Path) -> NDArray[np.float64]:
    """`frames`, a list of T lists of 35 finite numbers, as a (T, 35) array."""
    # Types first, numpy after: it would expand nested lists that share members without bound.
    if not isinstance(frames, list):
        raise UserError(f"{path}: frames is a {type(frames).__name__}; give a list of lists of numbers")
    if not 2 <= len(frames) <= _MAX_FRAMES:
        raise UserError(
            f"{path}: frames has {len(frames)} frame(s); give a clip of at least 2 frames"
            f" and at most {_MAX_FRAMES}"
        )
    array = np.empty((len(frames), len(_COLUMNS)))
    for index, frame in enumerate(frames):
        if not isinstance(frame, list) or not set(map(type, frame)) <= {int, float}:
            raise UserError(f"{path}: frames: frame {index} is not a list of numbers; export the clip again")
        if len(frame) != len(_COLUMNS):
            raise UserError(
                f"{path}: frames: frame {index} has {len(frame)} columns, expected {len(_COLUMNS)} (root"
                " position 3, root exponential map 3, joints 29); retarget the clip to the 29-joint G1"
            )
        try:
            array[index] = frame
        except OverflowError as error:
            raise UserError(
                f"{path}: frames: frame {index} has an integer beyond float64; repair or cut this frame"
            ) from error
    check_finite(array, "frames", _COLUMNS, path)
    return array


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that refuses every class and function, and so can run no code."""

    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(data))
        self._path = path

    def find_class(self, module: str, name: str) -> NoReturn:
        raise UserError(
            f"{self._path}: pickle names the global {quoted(f'{module}.{name}')}, which could run code;"
            " save frames as plain lists of numbers (numpy: .tolist())"
        )


def _unpickle(data: bytes, path: Path) -> object:
    """The plain data that the pickle `data` of file `path` holds."""
    try:
        _check_opcodes(data, path)
        return _PlainUnpickler(data, path).load()
    except UserError:
        raise
    except Exception as error:  # damaged bytes make the unpickler raise nearly any type
        raise UserError(
            f"{path}: pickle is damaged or truncated ({type(error).__name__}: {quoted(str(error))});"
            " export or copy the clip again"
        ) from error


def _check_opcodes(data: bytes, path: Path) -> None:
    """UserError for a pickle that holds more than plain data, or would fill the memory when loaded.

    Reading the opcodes also checks that the file has the bytes each length announces; the unpickler allocates
    first.
    """
    containers = 0
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _GLOBALS:
            return  # the unpickler gets no farther: find_class names the global and refuses it
        if opcode.name not in _PLAIN:
            raise UserError(
                f"{path}: pickle holds the opcode {opcode.name}; save only a dict of numbers, text and lists"
            )
        if opcode.name in _MEMO_WRITES and cast(int, argument) > len(data):
            # The unpickler's memo is an array: six bytes with a high index would allocate gigabytes.
            raise UserError(f"{path}: pickle's memo index {opcode.name} is too high; export the clip again")
        containers += opcode.name in _CONTAINERS
        if containers > _MAX_FRAMES:  # an empty list is one byte here and over 50 in memory
            raise UserError(f"{path}: pickle holds over {_MAX_FRAMES} lists; split the clip")
