"""The Unitree G1: its facts, its MJCF, its kinematics on the host and on the device."""
