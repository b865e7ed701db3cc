"""`tests.support.perfect` with the rewards that the models predict: are they what limits learning?

PYTHONPATH=. mag train --env tests.support.perfect/3s_vs_4z --algo tests.support.perfect_reward --size small
"""

from typing import Any

import jax.numpy as jnp

from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.world_model import Outcome
from tests.support.perfect import Perfect, mamba_with


class PredictedRewards(Perfect):
    """The simulator's states, masks and ends; the models' rewards, 0 after an end."""

    def outcome(self, before: Any, after: Any) -> Outcome:
        """See `WorldModel.outcome`."""
        predicted = LocalModels.outcome(self, before.of_models(), after.of_models())
        return predicted._replace(reward=jnp.where(before.alive.any(), predicted.reward, 0.0))


METHOD = mamba_with(PredictedRewards)
