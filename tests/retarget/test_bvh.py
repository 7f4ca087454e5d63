"""The BVH reader: positions against matrices multiplied by hand, spellings, and files that are refused."""

import math
import re

import numpy as np
import pytest

from mjx_mimic.common.errors import UserError
from mjx_mimic.retarget import bvh

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 7.0 8.0 9.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0.5 2.0 -0.25
    CHANNELS 3 Yrotation Zrotation Xrotation
    JOINT Head
    {
      OFFSET 0.0 3.0 1.0
      CHANNELS 4 Zposition Xrotation Yrotation Zrotation
      End Site
      {
        OFFSET 0.0 1.0 0.0
      }
    }
  }
  JOINT Tail
  {
    OFFSET 0.0 -1.0 0.0
    CHANNELS 0
    JOINT Tip
    {
      OFFSET 0.0 -1.0 -1.0
      CHANNELS 1 Xrotation
      End Site
      {
        OFFSET 0.0 0.0 -1.0
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3 10 20 30 40 50 60 4.5 -70 80 -90 15
-1.5 2e0 .5 -100 120 5 0 0 0 1 45 -45 30 -200
"""
ROWS = [
    [1, 2, 3, 10, 20, 30, 40, 50, 60, 4.5, -70, 80, -90, 15],
    [-1.5, 2, 0.5, -100, 120, 5, 0, 0, 0, 1, 45, -45, 30, -200],
]
END = TEXT.index("-200")  # a cut inside a number's last digits cannot be noticed


def turn(axis, degrees):
    """4 by 4, about x, y or z."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(4)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def shift(x, y, z):
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def by_hand(row):
    """World matrices of Hips, Spine, Head, Tail, Tip."""
    hips = shift(*row[:3]) @ turn("z", row[3]) @ turn("x", row[4]) @ turn("y", row[5])
    spine = hips @ shift(0.5, 2.0, -0.25) @ turn("y", row[6]) @ turn("z", row[7]) @ turn("x", row[8])
    head = spine @ shift(0.0, 3.0, row[9]) @ turn("x", row[10]) @ turn("y", row[11]) @ turn("z", row[12])
    tail = hips @ shift(0.0, -1.0, 0.0)
    return [hips, spine, head, tail, tail @ shift(0.0, -1.0, -1.0) @ turn("x", row[13])]


def read(tmp_path, text):
    path = tmp_path / "person.bvh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return bvh.read(path)


def rotated(quaternion, vector):
    w, x, y, z = quaternion
    matrix = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(matrix) @ vector


def test_poses_are_those_of_matrices_multiplied_by_hand(tmp_path):
    skeleton = read(tmp_path, TEXT)
    assert skeleton.names == ("Hips", "Spine", "Head", "Tail", "Tip")
    assert skeleton.parents.tolist() == [-1, 0, 1, 0, 3]
    assert skeleton.fps == pytest.approx(25.0)
    for frame, row in enumerate(ROWS):
        for joint, matrix in enumerate(by_hand(row)):
            np.testing.assert_allclose(skeleton.positions[frame, joint], matrix[:3, 3], atol=1e-12)
            for axis in np.eye(3):
                turned = rotated(skeleton.rotations[frame, joint], axis)
                np.testing.assert_allclose(turned, matrix[:3, :3] @ axis, atol=1e-12)


@pytest.mark.parametrize(
    ("written", "fps"),
    [("0.033333", 30.0), ("0.0333", 30.0), ("0.0083333", 120.0), ("0.0417", 24.0), ("0.016667", 60.0)],
)
def test_frame_times_of_few_digits_are_of_whole_rates(tmp_path, written, fps):
    assert read(tmp_path, TEXT.replace("Time: 0.04", f"Time: {written}")).fps == fps


def test_rates_that_are_not_whole_stay_so(tmp_path):
    assert read(tmp_path, TEXT.replace("Time: 0.04", "Time: 0.0333667")).fps == pytest.approx(29.97, abs=1e-3)


@pytest.mark.parametrize(
    "respelled",
    [
        TEXT.replace("\n", "\r\n"),
        re.sub(r"^ +", lambda found: "\t" * (len(found[0]) // 2), TEXT, flags=re.M),
        TEXT.replace("Frames: 2", "Frames:\t2").replace("Frame Time: ", "Frame Time:   "),
        TEXT.replace(" ", "  ").replace("End  Site", "End Site").replace("Frame  Time", "Frame Time"),
        TEXT.replace("\n  {", " {").replace("Xrotation", "XROTATION"),
        "\ufeff\n" + TEXT.replace("\n", "\n\n") + "\n\n",
    ],
)
def test_white_space_line_ends_and_case_of_channels_do_not_matter(tmp_path, respelled):
    plain, other = read(tmp_path, TEXT), read(tmp_path, respelled)
    assert other.names == plain.names
    np.testing.assert_array_equal(other.positions, plain.positions)
    np.testing.assert_array_equal(other.rotations, plain.rotations)


def test_every_truncation_is_noticed(tmp_path):
    for size in range(0, END, 7):
        with pytest.raises(UserError) as error:
            read(tmp_path, TEXT[:size])
        assert "person.bvh" in str(error.value)


FRAME = "1 2 3 10 20 30 40 50 60 4.5 -70 80 -90 15"


@pytest.mark.parametrize(
    ("found", "replacement", "message"),
    [
        ("HIERARCHY", "Kaydara FBX", "not a BVH file.*'Kaydara FBX'"),
        ("MOTION\n", "", "no line MOTION"),
        ("ROOT Hips", "JOINT Hips", "line 2: HIERARCHY has 'JOINT'"),
        ("ROOT Hips", "ROOT left foot", "line 2: 'foot' stands where '{' should"),
        ("OFFSET 7.0", "OFFSET seven", "line 4: OFFSET x is 'seven'"),
        ("OFFSET 7.0 8.0 9.0", "OFFSET 7.0 8.0 nan", "line 4: OFFSET z is 'nan'"),
        ("CHANNELS 6 X", "CHANNELS six X", "line 5: CHANNELS starts with 'six'"),
        ("CHANNELS 3 Yrotation", "CHANNELS 3 Yscale", "line 9: CHANNELS of 'Spine' has 'yscale'"),
        ("3 Yrotation Z", "3 Xrotation Z", "line 9: CHANNELS of 'Spine'"),
        ("CHANNELS 0", "CHANNELS 1", "has 'joint'"),
        ("    OFFSET 0.5 2.0 -0.25\n", "", "line 1[0-9]: joint 'Spine' has no OFFSET"),
        ("JOINT Tip", "JOINT Head", "two joints 'Head'"),
        ("}\nMOTION", "}\nROOT Other {\n}\nMOTION", "'ROOT' follows the root's block"),
        ("Frames: 2", "Frame: 2", "line 36: 'Frame: 2' stands where 'Frames: <number>'"),
        ("Frames: 2", "Frames: 0", "line 36: Frames is 0"),
        ("Frames: 2", "Frames: 3", "Frames is 3 but 2 lines"),
        ("Frames: 2", "Frames: 1", "Frames is 1 but 2 lines"),
        ("Time: 0.04", "Time: 0", "line 37: Frame Time is 0"),
        ("Time: 0.04", "Time: -0.04", "line 37: Frame Time is -0.04"),
        ("Time: 0.04", "Time: 1e-320", "line 37: Frame Time is 9.*e-321; give .* 0.0001 to 1"),
        ("Time: 0.04", "Time: 1e9", "line 37: Frame Time is 1e[+]09"),
        ("-70", "1e300", "line 38: channel 11 is 1e300"),
        ("OFFSET 0.0 3.0", "OFFSET 0.0 3e300", "line 12: OFFSET y is '3e300'"),
        ("Time: 0.04", "Time: NaN", "line 37: .* stands where 'Frame Time: <number>'"),
        (FRAME, FRAME + " 1", "line 38: 15 numbers for 14 channels"),
        (FRAME, FRAME[:-3], "line 38: 13 numbers for 14 channels"),
        (" -200", "", "line 39: 13 numbers for 14 channels; the last line is cut off"),
        ("-70", "nan", "line 38: channel 11 is nan"),
        ("-70", "1e999", "line 38: channel 11 is 1e999"),
        ("-70", "x70", "line 38: 'x70' is not a number"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, found, replacement, message):
    assert TEXT.count(found) >= 1
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, TEXT.replace(found, replacement, 1))
    assert "person.bvh" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("contents", [b"", b"\n \n", b"\x00\xff\xfe\x80" * 50, b"\x80\x04K\x01."])
def test_no_text_at_all_is_no_bvh(tmp_path, contents):
    with pytest.raises(UserError, match=r"empty|not a BVH file"):
        read(tmp_path, contents)


def test_a_missing_and_a_huge_file_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such file"):
        bvh.read(tmp_path / "nowhere.bvh")
    monkeypatch.setattr(bvh, "MAX_BYTES", 500)
    with pytest.raises(UserError, match=r"file size is .* over the limit"):
        read(tmp_path, TEXT)
