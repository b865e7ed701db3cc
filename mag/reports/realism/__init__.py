"""How real imagined battles are: the joint policy plays in the world model, and the simulator repeats its actions.

The policy plays whole real episodes. From some steps of these episodes, the policy also plays in the world model, as in
rollouts, and the simulator, set to the state at that step, is given the same joint actions. Both outcomes are compared.
"""

from pathlib import Path
from typing import Any, cast

import jax

from mag.algorithms.contract import RollsOut
from mag.errors import UsageError
from mag.play.jax_player import JaxPlayer
from mag.reports.realism.measures import realism_measures
from mag.reports.realism.rollouts import PAST, compare_rollouts
from mag.runs.trained import Trained, load_seed

LENGTH = 15
"""Steps of a rollout (the paper's k)."""


def can_be_compared(run: Trained) -> bool:
    """Whether a run has a world model to play in, a simulator that can be set to a state, and episodes to observe."""
    if not (isinstance(run.algorithm, RollsOut) and isinstance(run.player, JaxPlayer)):
        return False
    return run.player.env.spec.episode_limit >= PAST


def check_compared(run: Trained) -> None:
    """Raise UsageError where a run cannot be compared with the simulator."""
    if not can_be_compared(run):
        raise UsageError(
            f"{run.config.algo} on {run.config.env} cannot be compared with the simulator: that takes a world model, "
            f"an environment in JAX, which can be set to a state, and episodes of {PAST} steps or more"
        )


def realism(run: Trained, *, rollouts: int, length: int = LENGTH, afresh: bool = False) -> dict[str, Any]:
    """The realism of the world model of a run's first seed, over about `rollouts` rollouts (see `realism_measures`).

    With `afresh` a model reward fitted now estimates the errors, not the run's own. Raises UsageError where the run
    cannot be compared with the simulator, or episodes are too short.
    """
    check_compared(run)
    algorithm, player, learner = cast(Any, run.algorithm), cast(JaxPlayer, run.player), run.state.learner
    found = compare_rollouts(
        algorithm,
        algorithm.agent(learner),
        player.env,
        learner,
        seed=run.config.seed,
        rollouts=rollouts,
        length=length,
        limit_ends=run.config.collect.time_limit == "end",
        afresh=afresh,
    )
    if not found.known.any():
        raise UsageError(f"no episode of {run.config.env} was longer than {PAST} steps; nothing to roll out from")
    found = jax.tree.map(lambda x: x[found.known], found)
    return realism_measures(found, getattr(player.env, "view", None))


def rollout_errors(path: Path, seed: int, rollouts: int = 512) -> dict[str, list[float | None]]:
    """The mean error at each step of rollouts (Fig. 3) in the models of one seed of a run: `learned` by a model reward
    that is fitted afresh, for every method in the same way, `true` by the simulator."""
    rows = realism(load_seed(path, seed), rollouts=rollouts, afresh=True)["by_steps_ahead"]
    return {"learned": [row["estimate"] for row in rows], "true": [row["error"] for row in rows]}
