"""Options of the processes in which environments on the host are played."""

from dataclasses import dataclass

from mag.options import choice, number


@dataclass(frozen=True)
class HostConfig:
    """Processes that play environments on the host (`starcraft`, `pettingzoo`, Python classes); JAX needs none."""

    step_seconds: float = number(60.0, above=0, source=None)
    """Seconds a step may take; a process that takes longer is replaced and its episode broken off. `starcraft` waits at
    most 60 s for an answer of the game."""
    start_seconds: float = number(180.0, above=0, source=None)
    """Seconds that making an environment, or beginning an episode, may take. `starcraft` waits at most 120 s for the
    game to start."""
    episodes_per_process: int = number(500, least=0, source=None)
    """Episodes after which a process is replaced, as games leak memory; 0 for never."""
    memory: float = number(8.0, above=0, source=None)
    """GiB that a process may take, its child processes included; one that takes more is replaced."""
    failures: int = number(5, least=1, source=None)
    """Failures in a row, with no finished episode between them, after which the run is saved and stopped."""
    overlap: bool = choice(False, source=None)
    """Whether the next steps are played during learning, by the policy from before it. Methods that learn from a replay
    (mag, mamba) allow that; it may change when a run is resumed."""
