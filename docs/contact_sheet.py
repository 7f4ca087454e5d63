"""Puts moments of a video side by side: `python docs/contact_sheet.py OUT.png VIDEO START_S END_S [COUNT]`."""

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
    moments = (
        np.linspace(float(start) * fps, float(end) * fps, int(count), endpoint=False).round().astype(int)
    )
    middle = frames[moments][:, :, width // 2 - width // 5 : width // 2 + width // 5]  # where the robot is
    rows = 1 if len(middle) <= 8 else 2
    plt.imsave(out, np.vstack([np.hstack(half) for half in np.array_split(middle, rows)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
