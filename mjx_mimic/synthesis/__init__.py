"""How the bundled clips are made from scratch."""
