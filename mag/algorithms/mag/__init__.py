"""MAG (Algorithm 1 of the paper), and MAMBA, which is MAG without a planner."""
