"""SMAC's battles as a JaxMARL environment, for JaxMARL's own users."""

from typing import Any

from mag.envs.jaxmarl import import_jaxmarl
from mag.envs.smac_jax.env import SMAC

import_jaxmarl()  # drops what the import prints
from jaxmarl.environments.multi_agent_env import MultiAgentEnv  # noqa: E402
from jaxmarl.environments.spaces import Box, Discrete  # noqa: E402


class JaxMarlSMAC(SMAC, MultiAgentEnv):  # type: ignore[misc]  # their states differ
    """`SMAC` as a `MultiAgentEnv`: `step` begins the next battle by itself, and the spaces are JaxMARL's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Takes what `SMAC` takes."""
        super().__init__(*args, **options)
        self.observation_spaces = {agent: Box(-1.0, 1.0, (self.obs_size,)) for agent in self.agents}
        self.action_spaces = {agent: Discrete(self.num_actions) for agent in self.agents}

    def action_space(self, agent: str) -> Any:
        """See `MultiAgentEnv.action_space`."""
        return self.action_spaces[agent]
