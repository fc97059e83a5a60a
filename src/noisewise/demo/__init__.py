"""What noisewise does, shown on a photograph that ships with it."""
