"""Go on learning a run's policy inside its models as they are, and play real tests on the way.

usage: python results/lab-book/policy_more.py RUN ROLLOUTS [part.field=value ...]
"""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from refit import override

from mag.algorithms.mag.policy_update import init_policy
from mag.play.testing import evaluate
from mag.runs.trained import load_run


def main(run, rollouts, words):
    fresh = "fresh" in words
    words = [word for word in words if word != "fresh"]
    trained = load_run(Path(run))
    config = override(trained.config, words)
    algorithm = type(trained.algorithm)(config, trained.algorithm.env)
    state = jax.tree.map(lambda x: x[0], trained.state)
    policy = init_policy(jax.random.key(5), algorithm.env.spec.n_actions, config.networks, config.ppo)
    if not fresh:
        policy = policy._replace(
            actor=policy.actor._replace(params=state.policy.actor.params, average=state.policy.actor.average),
            critic=policy.critic._replace(params=state.policy.critic.params),
        )
    models, data = trained.state.models.settled, trained.state.replay

    def learn(number, policy):
        policy, told = jax.tree.map(lambda x: x[None], policy), []
        for key in jax.random.split(jax.random.key(number), 25):
            key_rollout, key_fit = (k[None] for k in jax.random.split(key))
            imagined = algorithm._rollouts(key_rollout, models, None, policy.actor.params, data)
            policy, metrics = algorithm._fit_policy(key_fit, policy, imagined)
            told.append(metrics)
        return jax.tree.map(lambda x: x[0], policy), jax.tree.map(lambda *x: jnp.mean(jnp.stack(x)), *told)

    small = state._replace(replay=None, collectors=None)

    @jax.jit
    def test(policy, key):
        joint = algorithm.policy(small._replace(policy=policy))
        result = evaluate(algorithm, joint, key, 32)
        return result.won.mean(), result.returned.mean(), result.length.mean()

    print(words, "step 0", [round(float(x), 3) for x in test(policy, jax.random.key(1))], flush=True)
    begin = time.time()
    for i in range(rollouts // 25):
        policy, m = learn(i, policy)
        tested = [round(float(x), 3) for x in test(policy, jax.random.key(1))]
        told = {
            k.split("/")[-1]: round(float(v), 4)
            for k, v in m.items()
            if k in ("rollout/return", "policy/entropy", "policy/kl", "critic/loss")
        }
        print(25 * (i + 1), round(time.time() - begin), tested, told, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
