"""Fixed points of smooth maps, by Anderson acceleration.

Walker and Ni 2011, "Anderson acceleration for fixed-point iterations". It converges where the plain iteration
x = g(x) is slow, and also where a few of its modes grow.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class NotConvergedError(ArithmeticError):
    """The iteration did not come to rest."""


def fixed_point(
    g: Callable[[Array], Array], start: Array, tolerance: float, memory: int = 20, most: int = 100
) -> Array:
    """Find x = g(x).

    Args:
        g: a map from arrays to arrays of the same shape.
        start: first guess.
        tolerance: of the largest entry of |g(x) - x|.
        memory: number of earlier steps that each step makes use of.
        most: evaluations of `g` before it gives up.

    Raises:
        NotConvergedError: the tolerance was not reached.
    """
    x = start
    points: list[Array] = []
    residuals: list[Array] = []
    for _ in range(most):
        residual = g(x) - x
        if np.abs(residual).max() < tolerance:
            return x
        points, residuals = [*points[-memory:], x], [*residuals[-memory:], residual]
        x = x + residual
        if len(points) > 1:
            moves = np.diff([point.ravel() for point in points], axis=0)
            changes = np.diff([earlier.ravel() for earlier in residuals], axis=0)
            # The combination of the last moves after which, if g were linear, least would be left over.
            shares = np.linalg.lstsq(changes.T, residual.ravel(), rcond=None)[0]
            x = x - (shares @ (moves + changes)).reshape(x.shape)
    raise NotConvergedError(f"|g(x) - x| is still {np.abs(residual).max():.1e} after {most} steps")
