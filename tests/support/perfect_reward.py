"""`tests.support.perfect` with the rewards that the models predict: are they what limits learning?

PYTHONPATH=. mag train --env tests.support.perfect/3s_vs_4z --algo tests.support.perfect_reward --size small
"""

from typing import Any

import jax.numpy as jnp

from mag.algorithms.mag.local_models import ModelState
from mag.algorithms.mag.world_model import Outcome
from tests.support.perfect import Perfect, mamba_with


class PredictedRewards(Perfect):
    """The simulator's states, masks and ends; the models' rewards, 0 after an end."""

    def outcome(self, before: Any, after: Any) -> Outcome:
        """See `WorldModel.outcome`."""
        reward = self.mean_reward(self.reward(ModelState(before.stoch, after.deter)))
        continues = super().outcome(before, after).continues
        return Outcome(jnp.where(before.alive.any(), reward, 0.0), continues)


METHOD = mamba_with(PredictedRewards)
