"""Refit the models to the D_e of a finished run and tell how they draw deaths and ends.

usage: python results/lab-book/refit.py RUN UPDATES [--option value ...]   (options as of `mag train`)
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from mag.algorithms.mag.local_models import LocalModels, fit_models, observe_sequence
from mag.algorithms.registry import default_config
from mag.learning.optimise import optimiser_of, untrained
from mag.runs.checkpoint import Checkpoints
from mag.runs.train import build

NO_OP = 0


def override(config, words):
    """The configuration with options such as `networks.joint_events=True`."""
    for word in words:
        name, value = word.split("=")
        part, field = name.split(".")
        inner = getattr(config, part)
        kind = type(getattr(inner, field))
        value = value == "True" if kind is bool else kind(value)
        config = dataclasses.replace(config, **{part: dataclasses.replace(inner, **{field: value})})
    return config


def main(run, updates, words):
    written = json.loads((Path(run) / "config.json").read_text())
    written = written.get("config", written)
    config = default_config(written["algo"], written["env"], "cpu")
    kept = {"workers": 1, "replay": dataclasses.replace(config.replay, capacity=written["replay"]["capacity"])}
    config = dataclasses.replace(config, **kept)
    first, state = build(config)
    state = Checkpoints(Path(run) / "checkpoints", 2).restore(state).state
    config = override(config, words)
    algorithm = type(first)(config, first.env)
    data = jax.tree.map(lambda x: x[0], state.replay)
    spec = algorithm.env.spec
    models = untrained(
        LocalModels(jax.random.key(1), spec, config.networks), optimiser_of(config.models), config.models.averaging
    )
    chunk = dataclasses.replace(config.models, batches=250)
    fit = jax.jit(
        lambda key, models: fit_models(key, models, lambda k: algorithm.replay.sample(data, k).experience, chunk)
    )
    begin = time.time()
    for i in range(updates // 250):
        models, metrics = fit(jax.random.key(i), models)
        if i == 0:
            jax.block_until_ready(models)
            begin = time.time()
        print(250 * (i + 1), {k.split("/")[1]: round(float(v), 4) for k, v in metrics.items()}, flush=True)
    jax.block_until_ready(models)
    seconds = (time.time() - begin) / max(1, updates - 250)
    found = probe(algorithm, models.settled, data)
    print(json.dumps({"options": words, "seconds_per_update": round(seconds, 4), **found}), flush=True)


def probe(algorithm, models, data, sequences=1600, draws=16, seen=5, ahead=15):
    """Prior draws at real deaths; deaths and ends within 15 steps, imagined with the real actions and real."""
    wide = dataclasses.replace(algorithm.config.replay, batch_size=sequences, sequence_length=seen + ahead)
    from mag.algorithms.mag.replay import make_replay

    batch = make_replay(wide, algorithm.config.collect.num_envs).sample(data, jax.random.key(7)).experience
    keys = jax.random.split(jax.random.key(8), sequences)
    _, states = jax.jit(jax.vmap(lambda k, s: observe_sequence(models, k, s, training=False)))(keys, batch)
    classes = algorithm.config.networks.classes
    alive, goes_on, first = batch.alive, batch.continues > 0, batch.first
    dead = ~alive & goes_on[..., None] & ~first[..., None] & (jnp.arange(seen + ahead) >= seen)[None, :, None]
    counts = (jax.nn.one_hot(states.stoch, classes) * dead[..., None, None]).sum((0, 1, 2))
    code = counts.argmax(-1)

    before = jax.tree.map(lambda x: x[:, seen - 1 : -1], states)
    actions = batch.previous_action[:, seen:]
    one = jax.vmap(jax.vmap(models.predict))
    died = alive[:, seen - 1 : -1] & ~alive[:, seen:] & (goes_on & ~first)[:, seen:, None]
    shares, lived = [], []
    predict = jax.jit(one)
    for i in range(draws):
        keys = jax.random.split(jax.random.key(100 + i), actions.shape[:2])
        drawn = predict(keys, before, actions)
        share = (drawn.stoch == code).mean(-1)
        shares.append(share[died])
        masks = jax.nn.sigmoid(jax.vmap(jax.vmap(models.available_actions))(drawn)[..., NO_OP])
        alive_before = alive[:, seen - 1 : -1] & (goes_on & ~first)[:, seen:, None] & goes_on[:, seen - 1 : -1, None]
        lived.append(jnp.mean(masks > 0.5, where=alive_before))
    share = jnp.concatenate(shares)
    posterior_share = (states.stoch == code).mean(-1)[:, seen:][died]
    alive_share = (states.stoch == code).mean(-1)[:, seen:][alive[:, seen:]]
    one_step_real = jnp.mean(died, where=alive_before)

    def roll(key, state, actions):
        def step(carry, inputs):
            state, on = carry
            key, action = inputs
            following = models.predict(key, state, action)
            reward, continuation = models.transition(state.stoch, following.deter)
            c = jax.nn.sigmoid(continuation.mean())
            if following.alive is not None:
                c = following.alive.any().astype(jnp.float32)
            no_op = jax.nn.sigmoid(models.available_actions(following)[..., NO_OP])
            return (following, on * c), (no_op > 0.5, on * c, on * reward.mean())

        return jax.lax.scan(step, (state, 1.0), (jax.random.split(key, len(actions)), actions))[1]

    start = jax.tree.map(lambda x: x[:, seen - 1], states)
    keys = jax.random.split(jax.random.key(9), sequences)
    gone, on, reward = jax.jit(jax.vmap(roll))(keys, start, actions)
    usable = ~first[:, seen:].any(1) & goes_on[:, seen - 1] & goes_on[:, seen:].all(1)
    was = alive[:, seen - 1]
    real_deaths = (was & ~alive[:, -1])[usable].sum()
    imagined = (was & gone[:, -1])[usable].sum()
    fair = ~(jnp.cumsum(first[:, seen:], 1) > 0).any(1) | ~goes_on.all(1)
    ends_usable = goes_on[:, seen - 1] & ~first[:, seen - 1]
    real_end = (~goes_on[:, seen:]).any(1)
    timeouts = first[:, seen:].any(1) & ~real_end
    ok = ends_usable & ~timeouts
    inside = jnp.cumsum(jnp.cumsum(~goes_on[:, seen:], 1), 1) <= 1
    real_reward = (batch.reward[:, seen:] * inside * algorithm.config.models.reward_scale).sum(1)
    del fair
    r = lambda x: round(float(x), 3)  # noqa: E731
    return {
        "real_deaths": int(died.sum()),
        "code_share_posterior_dead": r(posterior_share.mean()),
        "code_share_alive": r(alive_share.mean()),
        "draws_at_deaths": {
            "alive(<=.35)": r((share <= 0.35).mean()),
            "half(.35-.65)": r(((share > 0.35) & (share < 0.65)).mean()),
            "mostly(.65-.9)": r(((share >= 0.65) & (share < 0.9)).mean()),
            "dead(>=.9)": r((share >= 0.9).mean()),
        },
        "deaths_1_imagined/real": r(jnp.mean(jnp.stack(lived)) / one_step_real),
        "deaths_15_imagined/real": r(imagined / real_deaths),
        "ends_15_imagined": r(1 - jnp.mean(on[:, -1], where=ok)),
        "ends_15_real": r(jnp.mean(real_end, where=ok)),
        "reward_15_imagined/real": r(jnp.sum(reward.sum(1), where=ok) / jnp.sum(real_reward, where=ok)),
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
