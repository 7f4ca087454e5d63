"""Physics-based motion imitation for the Unitree G1 in JAX and MuJoCo MJX."""

__version__ = "0.2.0"
