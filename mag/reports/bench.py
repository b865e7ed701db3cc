"""`mag bench`: how fast each part runs, relative to the machine's matrix products (`mag.reports.timing`)."""

import json as jsonlib
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from mag import envs
from mag.algorithms.config import RunConfig
from mag.algorithms.mag.algorithm import MAG, make_local_models
from mag.algorithms.mag.config import MAGConfig, NetworksConfig
from mag.algorithms.mag.local_models import LocalModels, ModelState
from mag.algorithms.mag.model_reward import ErrorReward, ModelReward
from mag.algorithms.mag.policy import Actor
from mag.algorithms.mag.policy_update import PolicyState, fit_policy, init_policy
from mag.algorithms.mag.rollout import Rollout, rollout, rollouts
from mag.algorithms.registry import default_config
from mag.envs import EnvSpec
from mag.envs.smaclite import make_inner
from mag.errors import UsageError
from mag.learning.distributions import sample_categorical
from mag.learning.optimise import Trainable, fit
from mag.learning.parallel import Workers, most_workers, over_seeds
from mag.planners.config import ShootingConfig
from mag.play.collecting import Played, collect, start_collecting
from mag.play.episode import Episode, empty_arrival
from mag.reports import operations
from mag.reports.timing import Result, measure, timed
from mag.runs.setup import set_up
from mag.runtime import own_cores
from mag.types import Arrival, Metrics

REFERENCE_SPEC = EnvSpec("reference/size", 3, 101, None, 10, 60, True, True)
"""The size at which the official code was timed (obs 101, A 10, N 3)."""
STARTS = 760
"""Start states of the timed rollouts."""
UPDATES = 5
"""Updates of the models timed together, so that the memory they share is allocated once."""
TIMED_ENVS = ("smax/3s_vs_3z", "smac_jax/3s_vs_5z", "smac_jax/3s5z_vs_3s6z", "smac_jax/2c_vs_64zg")
"""The environments whose speed is measured."""


def run(name: str, *, json: bool = False, algo: str | None = None, env: str | None = None) -> None:
    """Run one benchmark and print its result as a table or as one JSON object.

    `algo` and `env` are options of `iteration` only. Raises UsageError for an unknown benchmark or another's options.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"unknown benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    chosen = {option: value for option, value in (("algo", algo), ("env", env)) if value is not None}
    for option, value in chosen.items():
        if name != "iteration":
            raise UsageError(f"--{option} is {value}, but `mag bench {name}` does not depend on it; iteration does")
    measured = BENCHMARKS[name](**chosen)
    result = {"benchmark": name, "device": jax.devices()[0].device_kind} | measured
    print(jsonlib.dumps(result) if json else _as_table(result))


def reference() -> tuple[MAGConfig, MAG, LocalModels]:
    """MAG at the size at which the official code was timed."""
    config = default_config("mag", "reference/size", "paper", "paper")
    assert isinstance(config, MAGConfig)
    models = make_local_models(jax.random.key(0), REFERENCE_SPEC, config)
    assert isinstance(models, LocalModels)
    return config, MAG(config, REFERENCE_SPEC), models


def planning() -> Result:
    """Planned rollouts (lines 7-15) at the reference size: L 5, H 10, k 15."""
    config, algorithm, models = reference()
    keys = jax.random.split(jax.random.key(0), 5)
    actor = Actor(keys[1], models, REFERENCE_SPEC.n_actions, config.networks)
    model_reward = ErrorReward(keys[2], models, hidden=config.networks.hidden, layers=config.model_reward.layers)
    assert isinstance(config.planner, ShootingConfig)
    length, chunk_size = config.rollout.length, algorithm.chunk_size(STARTS)

    def play(key: PRNGKeyArray, models: LocalModels, model_reward: ModelReward, actor: Actor) -> Rollout:
        predict = algorithm.rollout_predict(models, model_reward, actor)
        starts = _random_states(keys[3], STARTS, config.networks)
        one = partial(rollout, models=models, actor=actor, predict=predict, length=length)
        return rollouts(key, starts, one, chunk_size=chunk_size)

    step = operations.of_planned_step(models, model_reward, actor, config.planner)
    flops = float(STARTS * length * REFERENCE_SPEC.n_agents * step)
    sizes: Result = {"L": config.planner.num_trajectories, "H": config.planner.horizon}
    sizes |= {"starts": STARTS, "k": length, "chunk_size": chunk_size}
    return sizes | measure(play, keys[4], models, model_reward, actor, flops=flops, repeats=2)


def world_model() -> Result:
    """Consecutive updates of the local models (line 4) at the reference size: 40 sequences of 20 steps.

    On a CPU a worker on each core computes its part of each batch.
    """
    config, algorithm, models = reference()
    batch = _random_batch(jax.random.key(1), config.replay.batch_size, config.replay.sequence_length)
    sequences, steps = batch.first.shape
    most = min(own_cores(), most_workers())
    workers = Workers(max(count for count in range(1, most + 1) if sequences % count == 0))
    optimiser = algorithm.models_optimiser

    def update(key: PRNGKeyArray, models: Trainable, batch: Arrival) -> Trainable:
        def loss(models: LocalModels, key: PRNGKeyArray) -> tuple[Array, Metrics]:
            return models.loss(key, batch)

        return fit(key, models, loss, optimiser, batches=UPDATES, workers=workers)[0]

    args = jax.tree.map(lambda x: jnp.asarray(x)[None], (jax.random.key(2), Trainable.create(models, optimiser), batch))
    flops = 3.0 * sequences * steps * REFERENCE_SPEC.n_agents * operations.dense(models)
    return {"sequences": sequences, "steps": steps, "workers": workers.count} | measure(
        over_seeds(update, 1, workers=workers.count, divided=("batch",)), *args, flops=flops, repeats=5, updates=UPDATES
    )


def ppo() -> Result:
    """One policy update (lines 16-18) on a rollout of the reference size: 760 starts, k 15, 5 epochs."""
    config, _, models = reference()
    keys = jax.random.split(jax.random.key(0), 4)
    policy = init_policy(keys[0], models, REFERENCE_SPEC.n_actions, config.networks, config.ppo)
    model_data = _random_rollouts(keys[1], STARTS, config.rollout.length, config.networks)

    def update(key: PRNGKeyArray, policy: PolicyState, model_data: Rollout) -> PolicyState:
        return fit_policy(key, policy, model_data, config.ppo)[0]

    rows = STARTS * config.rollout.length * REFERENCE_SPEC.n_agents
    both = operations.dense((policy.actor.params, policy.critic.params))
    flops = float(rows * (3 * config.ppo.epochs * both + operations.dense(policy.critic.params)))
    return {"starts": STARTS, "k": config.rollout.length, "epochs": config.ppo.epochs} | measure(
        update, keys[2], policy, model_data, flops=flops, repeats=3
    )


def env(names: tuple[str, ...] = TIMED_ENVS) -> Result:
    """Environment steps per second under random legal play, one episode after another.

    Next to `smac_jax` maps stands the rate of one SMAClite environment on the same map, if SMAClite is installed.
    """
    rates: Result = {}
    for name in names:
        for num_envs in (1, 64, 1024):
            rates[f"{name} {num_envs} envs"] = _env_rate(name, num_envs)
        family, _, map_name = name.partition("/")
        if family == "smac_jax":
            rates[f"smaclite/{map_name} 1 env"] = _smaclite_rate(map_name)
    return rates


def iteration(algo: str = "mag", env: str = RunConfig().env, size: str = "auto", recipe: str = "auto") -> Result:
    """One whole iteration of an algorithm (MAG's lines 3-18), by default in this machine's size and recipe.

    The operations of MAG and MAMBA are counted, those of the environment and of the other methods are not.
    """
    config = default_config(algo, env, size, recipe, spec=envs.spec(env))
    (made, player, _), (learner, players) = set_up(config)
    played: list[Played] = []

    def play(keys: Any, agent: Any) -> Played:
        nonlocal players
        players, segment = player.collect(keys, agent, players)
        played.append(segment)
        return segment

    def iterate() -> Metrics:
        nonlocal learner
        learner, metrics = jax.block_until_ready(made.iteration(learner, play))
        return metrics

    begin = time.perf_counter()
    while not iterate():  # until there is enough to learn from, and everything is compiled
        pass
    first = time.perf_counter() - begin
    flops = operations.of_iteration(made, learner) if isinstance(made, MAG) else None
    timing = timed(iterate, flops=flops, repeats=3)
    steps = median(int(each.transitions.sum()) for each in played[-3:])
    sizes: Result = {"algo": algo, "env": env, "size": config.size, "recipe": config.recipe}
    sizes |= {"num_envs": config.collect.num_envs, "workers": config.workers, "env_steps": steps}
    return sizes | timing | {"env_steps_per_second": steps / timing["seconds"], "seconds_until_warm": first}


BENCHMARKS: dict[str, Callable[..., Result]] = {
    "planning": planning,
    "world-model": world_model,
    "ppo": ppo,
    "env": env,
    "iteration": iteration,
}


def _random_states(key: PRNGKeyArray, count: int, networks: NetworksConfig) -> ModelState:
    key_stoch, key_deter = jax.random.split(key)
    agents = REFERENCE_SPEC.n_agents
    stoch = jax.random.randint(key_stoch, (count, agents, networks.categoricals), 0, networks.classes)
    return ModelState(stoch, jax.random.normal(key_deter, (count, agents, networks.deterministic)))


def _random_batch(key: PRNGKeyArray, sequences: int, steps: int) -> Arrival:
    empty = empty_arrival(REFERENCE_SPEC)
    batch = jax.tree.map(lambda x: jnp.zeros((sequences, steps, *x.shape), x.dtype), empty)
    key_obs, key_action = jax.random.split(key)
    return batch._replace(
        obs=jax.random.normal(key_obs, batch.obs.shape),
        avail=jnp.ones_like(batch.avail),
        previous_action=jax.random.randint(key_action, batch.previous_action.shape, 0, REFERENCE_SPEC.n_actions),
        continues=jnp.ones_like(batch.continues),
    )


def _random_rollouts(key: PRNGKeyArray, starts: int, length: int, networks: NetworksConfig) -> Rollout:
    keys = jax.random.split(key, 4)
    agents, actions = REFERENCE_SPEC.n_agents, REFERENCE_SPEC.n_actions
    state = _random_states(keys[0], starts * length, networks)
    shape = (starts, length, agents)
    return Rollout(
        state=jax.tree.map(lambda x: x.reshape(starts, length, *x.shape[1:]), state),
        action=jax.random.randint(keys[1], shape, 0, actions),
        avail=jnp.ones((*shape, actions), bool),
        log_prob=jnp.full(shape, -jnp.log(actions)),
        reward=jax.random.normal(keys[2], (*shape[:2], 1)),
        continues=jnp.ones(shape),
        alive=None,
        imagined=None,
        last=_random_states(keys[3], starts, networks),
    )


def _env_rate(name: str, num_envs: int) -> float:
    """Steps per second of `num_envs` environments side by side."""
    task, steps = envs.make(name), max(10, 3200 // num_envs)
    keys = jax.random.split(jax.random.key(0), num_envs)
    timing = measure(partial(_play_randomly, task, steps), keys, flops=None, repeats=3)
    return num_envs * steps / timing["seconds"]


def _smaclite_rate(map_name: str, seconds: float = 5.0) -> float | str:
    """Steps per second of SMAClite, or a sentence if it is not installed."""
    try:
        theirs = make_inner(map_name)
    except UsageError:
        return "SMAClite is not installed"
    random, steps, done = np.random.default_rng(0), 0, True
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        if done:
            theirs.reset()
        actions = [int(random.choice(np.flatnonzero(row))) for row in theirs.get_avail_actions()]
        done = theirs.step(actions)[2]
        steps += 1
    return steps / (time.perf_counter() - begin)


def _play_randomly(task: envs.Env, steps: int, keys: Key[Array, " envs"]) -> Array:
    """Returns of random legal play in one environment per key."""

    def choose(key: PRNGKeyArray, episode: Episode) -> tuple[Array, None]:
        return sample_categorical(key, jnp.where(episode.timestep.avail, 0.0, -1e10)), None

    collectors = jax.vmap(lambda key: start_collecting(key, task, None))(keys)
    return collect(keys[0], collectors, env=task, choose=choose, steps=steps)[1].episodes.returns


def _as_table(result: Result) -> str:
    width = max(map(len, result))
    lines = (
        f"{key:<{width}}  {value:.4g}" if isinstance(value, float) else f"{key:<{width}}  {value}"
        for key, value in result.items()
    )
    return "\n".join(lines)
