"""What it does to play that parameters change inside an episode, while its recurrent state is carried on.

    python -m tests.support.handover RUN... > results/lab-book/DATE-handover.json

The run goes on for some iterations, in memory only, and each iteration's agent is kept. The same battles are then
played twice: by one agent from start to end, each kept agent in its share of them; and by an agent that is replaced
by the next iteration's after as many steps as training collects from an environment in an iteration, which is how
training plays. The original hands parameters over only where an episode starts, which is the first way.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from mag.learning.parallel import first_seed
from mag.play.episode import Agent, Carry
from mag.play.jax_player import JaxPlayer
from mag.play.testing import play_episodes
from mag.runs.surroundings import surroundings
from mag.runs.trained import Trained, load_run
from mag.types import Episodes, TimeStep

AGENTS = 8
"""Iterations, and agents kept."""
EPISODES = 2048
"""Battles that are played in each way."""


class HandoverCarry(NamedTuple):
    """The recurrent state of an agent, and who holds it."""

    recurrent: Carry
    first: Int[Array, ""]
    """The agent that began the episode."""
    steps: Int[Array, ""]


class Handover(eqx.Module):
    """Agents of successive iterations, `[agents, ...]`, that take turns every `span` steps of an episode."""

    agents: Agent
    count: int = eqx.field(static=True)
    span: int = eqx.field(static=True)

    def initial_carry(self, key: PRNGKeyArray) -> HandoverCarry:
        """See `mag.play.episode.Agent`: one of the agents is drawn to begin. The key is consumed."""
        key_first, key_carry = jax.random.split(key)
        first = jax.random.randint(key_first, (), 0, self.count)
        return HandoverCarry(self.one(first).initial_carry(key_carry), first, jnp.zeros((), jnp.int32))

    def act(
        self, key: PRNGKeyArray, carry: Carry, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], HandoverCarry]:
        """See `mag.play.episode.Agent`: the agent whose turn it is acts. The key is consumed."""
        agent = self.one((carry.first + carry.steps // self.span) % self.count)
        action, recurrent = agent.act(key, carry.recurrent, timestep, greedy=greedy)
        return action, HandoverCarry(recurrent, carry.first, carry.steps + 1)

    def one(self, index: Int[Array, ""]) -> Agent:
        """One of the agents."""
        arrays, rest = eqx.partition(self.agents, eqx.is_array)
        return eqx.combine(jax.tree.map(lambda x: x[index], arrays), rest)


def successive_agents(trained: Trained) -> Any:
    """The agents of the run's next iterations, `[AGENTS, ...]`, of its first seed."""
    (learner, players), kept = trained.state, []
    player = trained.player

    def play(keys: Any, agent: Agent) -> Any:
        nonlocal players
        players, played = player.collect(keys, agent, players)
        return played

    for _ in range(AGENTS):
        learner, _ = trained.algorithm.iteration(learner, play)
        kept.append(jax.tree.map(np.asarray, first_seed(trained.algorithm.agent(learner))))
    return jax.tree.map(lambda *each: jnp.stack(each), *kept)


def outcome(episodes: Episodes) -> dict[str, float]:
    """Means over battles, and the standard error of the return's."""
    returns = np.asarray(episodes.mean_returns, np.float64)
    return {
        "return": round(float(returns.mean()), 3),
        "return_error": round(float(returns.std() / len(returns) ** 0.5), 3),
        "win_rate": round(float(np.mean(episodes.won)), 4),
        "length": round(float(np.mean(episodes.length)), 1),
    }


def measure(path: Path) -> dict[str, Any]:
    """Both ways of play from one run."""
    trained = load_run(path)
    config, env = trained.config, cast(JaxPlayer, trained.player).env
    agents = successive_agents(trained)
    play = eqx.filter_jit(lambda key, agent: play_episodes(key, env, agent, EPISODES, greedy=False))
    spans = {"whole episodes": env.spec.episode_limit + 1, "changed inside": config.collect.steps}
    return {
        "env": config.env,
        "algo": config.algo,
        "seed": config.seed,
        "env_steps": trained.progress.slowest,
        **{name: outcome(play(jax.random.key(0), Handover(agents, AGENTS, span))) for name, span in spans.items()},
    }


def main(paths: list[str]) -> None:
    """Print the measurements as JSON."""
    print(json.dumps({**surroundings(), "runs": [measure(Path(path)) for path in paths]}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
