"""One way in: names, specs, and what a wrong name is answered."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import mag.envs
from mag.errors import UsageError

EVERY_FAMILY = [
    "smax/3s_vs_3z",
    "smax/5m_vs_6m",
    "smax/smacv2_5_units",
    "smac_jax/3s_vs_5z",
    "smac_jax/corridor",
    "jaxmarl/MPE_simple_spread_v3",
    "jaxmarl/MPE_simple_speaker_listener_v4",
    "jaxmarl/switch_riddle",
    "jaxmarl/overcooked",
    "jaxmarl/overcooked_v2",
    *[name for name in mag.envs.names() if name.startswith("probe/")],
]


def shapes_by_spec(spec):
    """The (shape, dtype) that every leaf of a time step must have."""
    per_agent, scalar = (spec.n_agents,), ()
    return {
        "obs": ((spec.n_agents, spec.obs_dim), jnp.float32),
        "avail": ((spec.n_agents, spec.n_actions), jnp.bool_),
        "alive": (per_agent, jnp.bool_),
        "reward": (spec.reward_shape, jnp.float32),
        "first": (scalar, jnp.bool_),
        "terminated": (scalar, jnp.bool_),
        "truncated": (scalar, jnp.bool_),
        "won": (scalar, jnp.bool_),
        "state": None if spec.state_dim is None else ((spec.state_dim,), jnp.float32),
    }


@pytest.mark.parametrize("name", EVERY_FAMILY)
def test_reset_and_step_return_what_the_spec_says(name):
    env = mag.envs.make(name)
    key = jax.random.key(0)
    state, first = jax.eval_shape(env.reset, key)
    action = jax.ShapeDtypeStruct((env.spec.n_agents,), jnp.int32)
    after, later = jax.eval_shape(env.step, key, state, action)
    for time_step in (first, later):
        found = {
            field: None if leaf is None else (leaf.shape, leaf.dtype) for field, leaf in time_step._asdict().items()
        }
        assert found == shapes_by_spec(env.spec)

    # The same leaves, weak types included, or `lax.scan` could not carry them.
    def kinds(tree):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)

    assert kinds((state, first)) == kinds((after, later))


@pytest.mark.parametrize(
    "name", [name for name in mag.envs.names() if "hanabi" not in name and not mag.envs.is_host(name)]
)
def test_spec_is_known_before_the_environment_is_made(name):
    assert mag.envs.make(name).spec == mag.envs.spec(name) == mag.envs.specs()[name]


def test_neither_listing_nor_own_maps_import_a_simulator_and_making_leaves_the_standard_streams_alone():
    # JaxMARL's import prints two lines and replaces sys.stdout and sys.stderr.
    code = (
        "import io, sys, mag.envs\n"
        "mag.envs.specs()\n"
        "mag.envs.make('smac_jax/3s_vs_3z')\n"
        "assert 'jaxmarl' not in sys.modules\n"
        "before = sys.stdout, sys.stderr\n"
        "sys.stdout = own = io.StringIO()\n"
        "mag.envs.make('jaxmarl/switch_riddle')\n"
        "assert sys.stdout is own and own.getvalue() == ''\n"
        "assert sys.stderr is before[1]\n"
    )
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("smax/3s_vs_6z", "smax/3s_vs_5z"),
        ("smx/3s_vs_3z", "smax/3s_vs_3z"),
        ("smac_jx/3s_vs_3z", "smac_jax/3s_vs_3z"),
        ("3s_vs_3z", "smac_jax/3s_vs_3z"),
        ("smac/3s_vs_3z", "smac_jax/3s_vs_3z"),
        ("smac/3m", "smax/3m"),
        ("smac/3s_vs_6z", "smac_jax/3s_vs_5z"),
        ("corridr", "smac_jax/corridor"),
        ("jaxmarl/MPE_simple_spred_v3", "jaxmarl/MPE_simple_spread_v3"),
        ("probe/onestep", "probe/one-step"),
        ("probe/", "probe/relay"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(UsageError) as raised:
        mag.envs.make(name)
    message = str(raised.value)
    assert repr(name) in message
    assert f"Did you mean {nearest!r}?" in message


def test_a_wrong_map_is_answered_with_what_is_allowed():
    with pytest.raises(UsageError, match=r"no map 'MPE_simple_tagg_v3'.*switch_riddle"):
        mag.envs.make("jaxmarl/MPE_simple_tagg_v3")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("jaxmarl/MPE_simple_crypto_v3", "its agents compete"),
        ("jaxmarl/coin_game", "its agents compete"),
        ("jaxmarl/ant_4x2", "its actions are continuous"),
        ("jaxmarl/MPE_simple_facmac_3a_v1", "its actions are continuous"),
        ("jaxmarl/MPE_simple_v3", "it has a single agent"),
        ("jaxmarl/HeuristicEnemySMAX", "family `smax`"),
    ],
)
def test_a_task_that_cannot_be_played_is_refused_with_the_reason(name, reason):
    with pytest.raises(UsageError, match=reason) as raised:
        mag.envs.spec(name)
    assert str(raised.value).startswith(f"environment {name!r}: ") and "Did you mean" not in str(raised.value)


def test_a_wrong_family_is_answered_with_what_is_allowed():
    with pytest.raises(
        UsageError,
        match=r"no family 'nowhere'.*jaxmarl, pettingzoo, probe, smac_jax, smaclite, smax, starcraft.*`mag envs`",
    ):
        mag.envs.make("nowhere/qqqqqqqq")
    with pytest.raises(UsageError, match=r"module 'json' is not a family"):
        mag.envs.make("json/3m")


def test_a_module_of_ones_own_is_a_family(tmp_path, monkeypatch):
    (tmp_path / "tasks_of_a_user.py").write_text(
        "import dataclasses\n"
        "from mag.envs import probe\n"
        "def specs():\n"
        "    return {'mine': dataclasses.replace(probe.specs()['relay'], name='tasks_of_a_user/mine')}\n"
        "def make(map_name):\n"
        "    return probe.make('relay')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert mag.envs.spec("tasks_of_a_user/mine").name == "tasks_of_a_user/mine"
    assert mag.envs.make("tasks_of_a_user/mine").spec.n_actions == 3
    with pytest.raises(UsageError, match=r"no map 'yours'. Allowed: mine"):
        mag.envs.make("tasks_of_a_user/yours")


def test_a_spec_of_another_name_is_refused(tmp_path, monkeypatch):
    (tmp_path / "borrowed_tasks.py").write_text(
        "from mag.envs import probe\nspecs, make, host = probe.specs, probe.make, True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # A process on the host would play probe/relay, and whatever `make` changes about it would be lost.
    with pytest.raises(
        UsageError, match=r"call borrowed_tasks/relay 'probe/relay'; name it 'borrowed_tasks/relay' there"
    ):
        mag.envs.spec("borrowed_tasks/relay")
