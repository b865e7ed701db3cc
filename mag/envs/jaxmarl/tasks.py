"""JaxMARL's tasks: how each is made, its sizes, and why the others are refused."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

from mag.envs.jaxmarl.adapter import Rules, import_jaxmarl

BEYOND = 1_000_000
"""Episode limit given to JaxMARL, which no episode reaches: the adapter counts the steps."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A map of this family: its builder and its sizes (a test compares them with the environment's)."""

    build: Callable[["Task"], tuple[Any, Rules]]
    n_agents: int
    obs_dim: int
    n_actions: int
    limit: int
    has_masks: bool = False
    team_reward: bool = True
    reward_scale: float = 1.0
    env_id: str = ""
    layout: str = ""


def _particles(task: Task) -> tuple[Any, Rules]:
    # JaxMARL's own clock would play one step more than its limit.
    return import_jaxmarl().make(task.env_id, max_steps=BEYOND), Rules(ends=False)


def _riddle(task: Task) -> tuple[Any, Rules]:
    env = import_jaxmarl().make("switch_riddle", num_agents=task.n_agents)
    env.max_steps = BEYOND
    return env, Rules()


def _hanabi(task: Task) -> tuple[Any, Rules]:
    env = import_jaxmarl().make("hanabi", num_agents=task.n_agents)
    return env, Rules(avail=env.get_legal_moves)


def _overcooked(task: Task) -> tuple[Any, Rules]:
    # Observations contain the time left in the last 40 steps, so JaxMARL's own limit stays.
    module = import_jaxmarl().environments.overcooked
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "OvercookedV2 is now released", DeprecationWarning)
        env = module.Overcooked(layout=module.overcooked_layouts[task.layout], max_steps=task.limit)
    return env, Rules(ends=False)


def _overcooked_v2(task: Task) -> tuple[Any, Rules]:
    env = import_jaxmarl().make("overcooked_v2", layout=task.layout, max_steps=task.limit)
    return env, Rules(ends=False)


def _cooks(version: str, layout: str, obs_dim: int) -> tuple[str, Task]:
    build = {"overcooked": _overcooked, "overcooked_v2": _overcooked_v2}[version]
    map_name = version if layout == "cramped_room" else f"{version}_{layout}"
    return map_name, Task(build, n_agents=2, obs_dim=obs_dim, n_actions=6, limit=400, layout=layout)


def _particle_task(env_id: str, **sizes: Any) -> tuple[str, Task]:
    return env_id, Task(_particles, limit=25, env_id=env_id, **sizes)


def _hanabi_task(map_name: str, **sizes: Any) -> tuple[str, Task]:
    return map_name, Task(_hanabi, has_masks=True, **sizes)


TASKS: dict[str, Task] = dict(
    [
        _particle_task("MPE_simple_spread_v3", n_agents=3, obs_dim=18, n_actions=5),
        _particle_task("MPE_simple_reference_v3", n_agents=2, obs_dim=21, n_actions=50),
        _particle_task("MPE_simple_speaker_listener_v4", n_agents=2, obs_dim=11, n_actions=5, has_masks=True),
        _particle_task("MPE_simple_tag_v3", n_agents=4, obs_dim=18, n_actions=5, team_reward=False, reward_scale=0.4),
        _particle_task("MPE_simple_adversary_v3", n_agents=3, obs_dim=12, n_actions=5, team_reward=False),
        _particle_task("MPE_simple_push_v3", n_agents=2, obs_dim=21, n_actions=5, team_reward=False),
        ("switch_riddle", Task(_riddle, n_agents=3, obs_dim=2, n_actions=3, limit=6)),
        _hanabi_task("hanabi", n_agents=2, obs_dim=658, n_actions=21, limit=90),
        _hanabi_task("hanabi_3", n_agents=3, obs_dim=956, n_actions=31, limit=81),
        _hanabi_task("hanabi_4", n_agents=4, obs_dim=1041, n_actions=39, limit=80),
        _hanabi_task("hanabi_5", n_agents=5, obs_dim=1280, n_actions=49, limit=73),
        _cooks("overcooked", "cramped_room", 520),
        _cooks("overcooked", "asymm_advantages", 1170),
        _cooks("overcooked", "coord_ring", 650),
        _cooks("overcooked", "forced_coord", 650),
        _cooks("overcooked", "counter_circuit", 1040),
        _cooks("overcooked_v2", "cramped_room", 600),
        _cooks("overcooked_v2", "asymm_advantages", 1350),
        _cooks("overcooked_v2", "coord_ring", 750),
        _cooks("overcooked_v2", "forced_coord", 750),
        _cooks("overcooked_v2", "counter_circuit", 1200),
        _cooks("overcooked_v2", "cramped_room_v2", 700),
        _cooks("overcooked_v2", "asymm_advantages_recipes_center", 1575),
        _cooks("overcooked_v2", "asymm_advantages_recipes_right", 1575),
        _cooks("overcooked_v2", "asymm_advantages_recipes_left", 1575),
        _cooks("overcooked_v2", "two_rooms", 1575),
        _cooks("overcooked_v2", "two_rooms_both", 1575),
        _cooks("overcooked_v2", "fun_coordination", 2025),
        _cooks("overcooked_v2", "more_fun_coordination", 2160),
        _cooks("overcooked_v2", "fun_symmetries", 1400),
        _cooks("overcooked_v2", "fun_symmetries1", 1600),
        _cooks("overcooked_v2", "fun_symmetries_plates", 1225),
        _cooks("overcooked_v2", "grounded_coord_simple", 1600),
        _cooks("overcooked_v2", "grounded_coord_ring", 3240),
        _cooks("overcooked_v2", "test_time_simple", 1600),
        _cooks("overcooked_v2", "test_time_wide", 1890),
        _cooks("overcooked_v2", "demo_cook_simple", 2200),
        _cooks("overcooked_v2", "demo_cook_wide", 2970),
    ]
)


_COMPETE = "its agents compete, and the only competitive tasks tried are simple_tag, simple_adversary and simple_push"
_CONTINUOUS = "its actions are continuous, and only discrete ones can be played"
refusals = {
    r"MPE_simple_crypto_v\d+": _COMPETE,
    r"MPE_simple_world_comm_v\d+": _CONTINUOUS,
    r"storm\w*|coin_game": _COMPETE,
    r"MPE_simple_facmac\w*": _CONTINUOUS,
    r"(ant|halfcheetah|hopper|humanoid|walker2d)_.+": _CONTINUOUS,
    r"jaxnav": _CONTINUOUS,
    r"MPE_simple_v\d+": "it has a single agent",
    r"\w*SMAX": "its battles are those of the family `smax`, such as `smax/3m`",
    r"JaxRobotarium_\w+": "it needs a simulator that is not among the dependencies",
}
"""See `Refuses`."""
