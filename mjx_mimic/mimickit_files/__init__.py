"""MimicKit's argument file and YAML, translated into settings by one table: what becomes of each key.

From the same table follow the block that a training prints at its start and the table in the documents.
Beside `config_yaml`, so that it needs no JAX.
"""

from mjx_mimic.mimickit_files.keys import KEYS
from mjx_mimic.mimickit_files.reading import Translation, check_options, split, translate

__all__ = ["KEYS", "Translation", "check_options", "split", "translate"]
