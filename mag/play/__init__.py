"""Playing episodes: the one stepper of episodes, players that collect, and tests."""
