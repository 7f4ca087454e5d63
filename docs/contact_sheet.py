"""Draw frames of a video side by side: `python docs/contact_sheet.py OUT.png VIDEO START END [COUNT]`.

START and END are in seconds.
"""

import sys

import imageio_ffmpeg
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def main(out: str, video: str, start: str, end: str, count: str = "8") -> None:
    reader = imageio_ffmpeg.read_frames(video)
    (width, height), fps = (about := next(reader))["size"], about["fps"]
    frames = np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])
    seconds = np.linspace(float(start), float(end), int(count), endpoint=False)  # of a cycle: the end repeats
    third = width // 3  # where the robot is
    middle = frames[np.round(seconds * fps).astype(int), :, third : width - third]
    rows = 1 if len(middle) <= 8 else 2
    plt.imsave(out, np.vstack([np.hstack(half) for half in np.array_split(middle, rows)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
