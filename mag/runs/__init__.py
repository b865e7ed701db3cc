"""A training run: its folder, configuration, checkpoints, progress, and the host loop."""
