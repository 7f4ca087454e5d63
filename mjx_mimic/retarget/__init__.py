"""From motion capture of a person to a clip of the robot."""
