"""Eight devices that share the learning of a seed learn what one device does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "seeds"), [(8, 1), (2, 4)])
def test_eight_devices_compute_what_one_does(workers, seeds):
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.devices", str(workers), str(seeds)],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found.pop("devices") == [8, 1]
    # The order of sums alone differs; an optimiser's first steps make more of what is near 0.
    assert max(found.values()) < 1e-4
    assert set(found) == {"models", "model reward", "rollouts", "policy", "test"}
