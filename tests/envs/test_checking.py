"""What an environment of one's own gets wrong is told before anything is trained."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from mag.envs import probe
from mag.envs.checking import STEPS, check
from mag.errors import UsageError

NAN = jnp.nan


class Wrong:
    """The probe `relay`, whose time steps are changed from a step on."""

    def __init__(self, change=lambda shown: shown, *, begins=0, state=lambda time: time, **spec):
        self.inner, self.change, self.begins, self.count = probe.make("relay"), change, begins, state
        self.spec = dataclasses.replace(self.inner.spec, **spec)

    def reset(self, key):
        inner, shown = self.inner.reset(key)
        return (inner, jnp.zeros((), jnp.int32)), self.changed(shown, 0)

    def step(self, key, state, action):
        inner, time = state
        inner, shown = self.inner.step(key, inner, action)
        return (inner, self.count(time + 1)), self.changed(shown, time + 1)

    def changed(self, shown, time):
        return jax.tree.map(lambda new, old: jnp.where(time >= self.begins, new, old), self.change(shown), shown)


class Bare(Wrong):
    """As `Wrong`, changed from the first time step, whatever the sizes."""

    def changed(self, shown, time):
        return self.change(shown)


SPEC = probe.make("relay").spec
OBS = f"float32[{SPEC.n_agents}, {SPEC.obs_dim}]"
MISTAKES = {
    "obs_dim": (Wrong(obs_dim=SPEC.obs_dim + 3), rf"reset shows obs as {re.escape(OBS)}; its spec says float32\[2, "),
    "type": (
        Bare(lambda shown: shown._replace(reward=jnp.zeros((), jnp.int32))),
        r"reset shows reward as int32\[\]; its spec says float32\[\]",
    ),
    "reward of agents": (
        Bare(lambda shown: shown._replace(reward=jnp.zeros(2))),
        r"reward as float32\[2\]; its spec says float32\[\]",
    ),
    "state": (
        Bare(lambda shown: shown._replace(state=jnp.zeros(4)), state_dim=None),
        r"state as float32\[4\]; its spec says None, for its state_dim is None",
    ),
    "no time step": (Bare(lambda shown: shown.obs), "reset returns a .*; it must be a `mag.types.TimeStep`"),
    "types of the state": (
        Wrong(state=lambda time: time.astype(jnp.float32)),
        r"reset returns a state of .*int32\[\], and step one of .*float32\[\]; shapes and types must be the same",
    ),
    "not finite": (Wrong(lambda shown: shown._replace(obs=shown.obs * NAN), begins=2), "shows obs with the value nan"),
    "no action": (
        Wrong(lambda shown: shown._replace(avail=jnp.zeros_like(shown.avail)), begins=1),
        "leaves agent 0 without an available action",
    ),
    "both ends": (
        Wrong(lambda shown: shown._replace(terminated=shown.first | True, truncated=shown.first | True), begins=1),
        "both `terminated` and `truncated`",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_broken_contract_is_told(mistake):
    env, message = MISTAKES[mistake]
    with pytest.raises(UsageError, match=message):
        check(env)


def test_a_right_environment_passes_and_only_the_first_steps_are_played():
    check(Wrong())
    check(Wrong(lambda shown: shown._replace(obs=shown.obs * NAN), begins=STEPS))


def test_an_environment_of_ones_own_is_checked_when_it_is_made(tmp_path, monkeypatch):
    (tmp_path / "narrow.py").write_text(
        "import dataclasses\n"
        "from mag.envs import probe\n"
        "SPEC = dataclasses.replace(probe.make('relay').spec, name='narrow/relay', obs_dim=3)\n"
        "class Narrow:\n"
        "    spec = SPEC\n"
        "    def reset(self, key): return probe.make('relay').reset(key)\n"
        "    def step(self, key, state, action): return probe.make('relay').step(key, state, action)\n"
        "specs, make = lambda: {'relay': SPEC}, lambda name: Narrow()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from mag import envs

    with pytest.raises(UsageError, match=r"narrow/relay: reset shows obs as float32\[2, \d\]; its spec says"):
        envs.make("narrow/relay")


@pytest.mark.parametrize("size", ["n_agents", "obs_dim", "n_actions", "episode_limit"])
def test_a_spec_has_at_least_one_of_everything(size):
    with pytest.raises(UsageError, match=rf"probe/relay: the spec's {size} is 0; it must be at least 1"):
        dataclasses.replace(probe.make("relay").spec, **{size: 0})
