"""How far apart what MAG's phases compute with a device for each worker lies from what one device computes.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.support.devices [WORKERS [SEEDS]]

The devices are simulated by a CPU that is taken for an accelerator. Prints a JSON object: the devices that each run
took, and for each phase the greatest difference between their results over the greatest number in them.
"""

import dataclasses
import json
import sys

import jax
import numpy as np

from mag import envs
from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.registry import default_config
from mag.learning import parallel
from mag.play.jax_player import JaxPlayer


def phases(config, devices):
    """What each phase of an iteration of MAG gives on so many devices, each from the first phases' results."""
    parallel.jax.devices = lambda: devices
    env = envs.make(config.env)
    algorithm = MAG(config, env.spec)
    player = JaxPlayer(
        env, num_envs=config.collect.num_envs, steps=64, num_seeds=config.num_seeds, workers=config.workers
    )
    keys = parallel.seed_keys(0, config.num_seeds)
    state = algorithm.init(keys)
    found = {}
    agent = algorithm.agent(state)
    _, played = player.collect(keys, agent, player.start(keys, agent))
    data = algorithm.add(state.data, played.arrivals)
    found["models"] = models, _ = algorithm.fit_models(keys, state.models, data)
    found["model reward"] = reward, _ = algorithm.fit_model_reward(keys, state.model_reward, models.weights, data)
    actor = state.policy.actor.params
    found["rollouts"] = rollouts = algorithm.rollouts(keys, models.weights, reward.params, actor, data)
    found["policy"] = policy, _ = algorithm.fit_policy(keys, state.policy, rollouts)
    state = state._replace(models=models, model_reward=reward, policy=policy, data=data)
    found["test"] = player.test(keys, algorithm.agent(state), 8)
    held_by = jax.tree.leaves(models.params)[0].sharding.device_set
    return len(held_by), jax.tree.map(np.asarray, found)


def distance(first, second):
    """The greatest difference between two pytrees of numbers, over the greatest number."""
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    numbers = [(np.float64(x), np.float64(y)) for x, y in pairs if x.size]
    most = max(float(np.abs(x).max()) for x, _ in numbers)
    return max(float(np.abs(x - y).max()) for x, y in numbers) / most


def main(workers=8, seeds=1):
    """Compare."""
    every = jax.devices()
    options = parallel.compile_options()
    jax.default_backend = lambda: "gpu"
    parallel.compile_options = lambda runs_once=False: options  # the CPU's, which it is
    config = default_config("mag", "probe/memory", "debug", "paper")
    config = dataclasses.replace(
        config, workers=workers, num_seeds=seeds, replay=dataclasses.replace(config.replay, batch_size=8)
    )
    (many, apart), (one, together) = phases(config, every), phases(config, every[:1])
    told = {phase: distance(apart[phase], together[phase]) for phase in apart}
    print(json.dumps({"devices": [many, one], **told}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
