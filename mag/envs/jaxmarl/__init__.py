"""Family `jaxmarl`: JaxMARL's tasks with discrete actions, behind one adapter.

| map | task | limit | ends before the limit |
|---|---|---|---|
| `MPE_simple_spread_v3` | 3 agents cover 3 landmarks without bumping into each other | 25 | never |
| `MPE_simple_reference_v3` | 2 agents tell each other, by 10 words, which landmark to go to | 25 | never |
| `MPE_simple_speaker_listener_v4` | one agent speaks, the other moves | 25 | never |
| `MPE_simple_tag_v3` | 3 agents chase a faster one; own rewards | 25 | never |
| `MPE_simple_adversary_v3` | 2 agents go to a landmark that an opponent has to guess; own rewards | 25 | never |
| `MPE_simple_push_v3` | one agent goes to a landmark, an opponent pushes it away; own rewards | 25 | never |
| `switch_riddle` | 3 prisoners and a light bulb | 6 | a prisoner announces that all have been in the room |
| `hanabi`, `hanabi_3` to `_5` | the card game; out of turn only the last action is available | 90 | the game is over |
| `overcooked`, `overcooked_<layout>` | 2 cooks; reward 20 for a soup delivered | 400 | never |
| `overcooked_v2`, `overcooked_v2_<layout>` | the same, by its successor's rules | 400 | never |

With "own rewards" agents compete, and each has a reward of its own. Plain `overcooked` and `overcooked_v2` are the
layout `cramped_room`. By its rules a game of Hanabi ends within 90 moves for 2 players (40 cards to draw, 8 hint tokens
and one more for each card drawn, 2 moves of the last round) and within 81, 80 and 73 for 3, 4 and 5, so that the limit
never truncates a game.

Refused, with the reason: other tasks whose agents compete (simple_crypto, storm, coin_game), with continuous actions
(facmac, world_comm, mabrax, jaxnav) or with a single agent.

JaxMARL is imported when an environment is made, not before: the import takes seconds.
"""

from mag.envs.contract import EnvSpec
from mag.envs.jaxmarl.adapter import JaxMarlEnv, Rules, State, battle_rules, import_jaxmarl
from mag.envs.jaxmarl.tasks import TASKS, refusals

__all__ = ["JaxMarlEnv", "Rules", "State", "battle_rules", "import_jaxmarl", "make", "refusals", "specs"]


def specs() -> dict[str, EnvSpec]:
    """The spec of every map, by its name; JaxMARL is not imported."""
    return {
        map_name: EnvSpec(
            name=f"jaxmarl/{map_name}",
            n_agents=task.n_agents,
            obs_dim=task.obs_dim,
            state_dim=None,
            n_actions=task.n_actions,
            episode_limit=task.limit,
            has_masks=task.has_masks,
            has_wins=False,
            reward_scale=task.reward_scale,
            team_reward=task.team_reward,
        )
        for map_name, task in TASKS.items()
    }


def make(map_name: str) -> JaxMarlEnv:
    """The environment of one of the maps in `specs()`."""
    task = TASKS[map_name]
    env, rules = task.build(task)
    return JaxMarlEnv(f"jaxmarl/{map_name}", env, episode_limit=task.limit, rules=rules, reward_scale=task.reward_scale)
