"""What every method learns with: networks, distributions, optimisers, PPO's formulas, seeds and workers."""
