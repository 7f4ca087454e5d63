"""What every package uses; no robot in it.

Errors, files, paths, the search for files by patterns, the frame of a command, processes that train together,
and the accelerators that a training can be compiled for.
"""
