"""Motion clips on the host: files of many formats, edits, checks. No JAX."""

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.formats import load_motion, save_motion
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.clips.validation import validate

__all__ = ["Clips", "Motion", "load_clips", "load_motion", "make_motion", "save_motion", "validate"]
