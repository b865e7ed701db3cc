"""Several processes, on one or several hosts, that share the workers of one run (JAX's distributed start).

Every process computes the same run: it plays alike, holds all of the run's state, and its devices are some of the
workers. Only the first one shows and writes anything.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils


def leads() -> bool:
    """Whether this is the process that writes; true where there is only one."""
    return bool(jax.process_index() == 0)


def wait(what: str) -> None:
    """Block until every process has reached this point; `what` names it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def greatest(number: int) -> int:
    """The maximum of a number over all processes, so that all of them take the same decision."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))
