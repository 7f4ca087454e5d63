"""What every package uses: errors, files, paths, the frame of a command. No robot in it."""
