"""Stands in for `mag train` in tests of sweeps: writes an ordinary run folder within milliseconds, without JAX.

Usage: `python fake_train.py CONFIGS train --env ...`, where CONFIGS is a JSON file of the configurations of a study by
environment and method. The curve depends on the seed alone. `MAG_FAKE` says what goes wrong: `fail=commnet` ends runs
of that method with an error, `pause=0.5` waits that long at every test, `die=FILE` kills the process once, when FILE
does not exist.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path


def options(words):
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    return dict(zip(names, words[1::2], strict=True))


def configuration(given):
    config = json.loads(Path(sys.argv[1]).read_text())[f"{given['env']} {given['algo']}"]
    return config | {name: int(given.get(name, 1)) for name in ("seed", "num_seeds")}


def row(config, seed, steps):
    share = steps / config["steps"] * (seed + 1) / 4
    return {
        "env_steps": steps,
        "seed": seed,
        "iteration": steps // 10,
        "eval/win_rate": share,
        "eval/return": 20 * share,
        "eval/episode_length": 30.0,
        "train/win_rate": share / 2,
        "train/return": 10 * share,
        "time/elapsed": float(steps),
    }


def train(config, path, faults):
    """From the last whole row on, as a resumed run."""
    metrics = path / "metrics.jsonl"
    metrics.touch()
    lines = metrics.read_bytes().splitlines(keepends=True)
    done = len([line for line in lines if line.endswith(b"\n")]) // config["num_seeds"]
    metrics.write_bytes(b"".join(lines[: done * config["num_seeds"]]))
    (path / "checkpoints").mkdir(exist_ok=True)
    with metrics.open("a") as file:
        for test in range(done, 6):
            for seed in range(config["seed"], config["seed"] + config["num_seeds"]):
                file.write(json.dumps(row(config, seed, test * config["steps"] // 5)) + "\n")
            file.flush()
            time.sleep(float(faults.get("pause", 0)))
            if "die" in faults and test == 2 and not Path(faults["die"]).exists():
                Path(faults["die"]).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if stopped:
                print("saved")
                sys.exit(128 + signal.SIGINT)
    (path / "summary.json").write_text(json.dumps({"env_steps": config["steps"]}))


def main():
    assert sys.argv[2] == "train"
    given = options(sys.argv[3:])
    path = Path(given["run"])
    faults = dict(part.split("=") for part in os.environ.get("MAG_FAKE", "").split(",") if part)
    if faults.get("fail") == given["algo"]:
        print(f"mag: {given['algo']} cannot be trained today", file=sys.stderr)
        sys.exit(2)
    path.mkdir(parents=True, exist_ok=True)
    lock = (path / ".lock").open("a+")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    config = configuration(given)
    about = {"versions": {"python": "3"}, "hardware": {"cpu": "fake"}, "revision": None}
    (path / "config.json").write_text(json.dumps({**about, "config": config}))
    train(config, path, faults)


stopped = []

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
    main()
