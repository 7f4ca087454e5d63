"""Low-pass filters without delay: a Butterworth filter run forwards and backwards."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, freqz_sos, sosfiltfilt

Array = NDArray[np.float64]


def low_pass(signal: Array, fps: float, cutoff_hz: float, order: int) -> Array:
    """Remove what vibrates faster than `cutoff_hz` from a signal (T, C) that ends.

    Half the amplitude is left at `cutoff_hz`, which must be under half of `fps`. `order` is the filter's;
    running it twice doubles it.
    """
    sections = butter(order, cutoff_hz, fs=fps, output="sos")
    padding = min(round(3.0 * fps / cutoff_hz), len(signal) - 1)
    return sosfiltfilt(sections, signal, axis=0, padlen=padding)


def low_pass_periodic(signal: Array, fps: float, cutoff_hz: float, order: int) -> Array:
    """Filter as `low_pass` does, for a periodic signal (T, C) of which T frames are exactly one period."""
    sections = butter(order, cutoff_hz, fs=fps, output="sos")
    _, response = freqz_sos(sections, np.fft.rfftfreq(len(signal), 1.0 / fps), fs=fps)
    spectrum = np.fft.rfft(signal, axis=0) * (np.abs(response) ** 2)[:, None]
    return np.fft.irfft(spectrum, len(signal), axis=0)
