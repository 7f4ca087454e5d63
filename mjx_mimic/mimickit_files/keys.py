"""What becomes of each key of MimicKit's files: one table for translation, report, and documents."""

from mjx_mimic.mimickit_files.agent import AGENT
from mjx_mimic.mimickit_files.arguments import ARGUMENTS
from mjx_mimic.mimickit_files.draft import Key
from mjx_mimic.mimickit_files.engine import ENGINE
from mjx_mimic.mimickit_files.environment import ENVIRONMENT

KEYS: dict[str, dict[str, Key]] = {
    "argument": ARGUMENTS,
    "env": ENVIRONMENT,
    "agent": AGENT,
    "engine": ENGINE,
}
"""By the kind of file that a key stands in."""
