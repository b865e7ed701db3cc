"""What a GPU that is lent for minutes can show: speed, then a study as far as it gets.

    python studies/gpu.py --minutes 25 --out gpu

A fifth of the time goes to `mag bench`; the study (`studies/gpu.toml`) has the rest, its methods side by side on the
GPU, all seeds of a method in one process. When the time is nearly over the runs save and stop, and a report is made of
what there is. The same command with the same folder goes on where they stopped. In the folder are then:

    bench.jsonl    a line for each benchmark, and the seconds that one took which did not end
    runs/          run folders
    report/        tables, figures, curves.csv and a page (index.html)
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MAG = (sys.executable, "-m", "mag")
BENCHMARKS = ("env", "planning", "world-model", "ppo", "iteration")
BENCH_SHARE = 0.2
"""Of the time, for all benchmarks."""
SAVE_SECONDS = 60
"""At the end, for the runs to finish an iteration and save; then they stop at once."""
REPORT_SECONDS = 60
"""After that, for the report."""


def bench(names: list[str], out: Path, seconds: float) -> None:
    """Run benchmarks, each with an equal share of what is left of the time."""
    end = time.monotonic() + seconds
    with (out / "bench.jsonl").open("a") as file:
        for place, name in enumerate(names):
            limit = max(1.0, (end - time.monotonic()) / (len(names) - place))
            try:
                done = subprocess.run([*MAG, "bench", name, "--json"], capture_output=True, text=True, timeout=limit)
                line = done.stdout.strip() or json.dumps({"benchmark": name, "failed": done.stderr.strip()[-500:]})
            except subprocess.TimeoutExpired:
                line = json.dumps({"benchmark": name, "not_done_after_seconds": round(limit)})
            print(line, file=file, flush=True)
            print(line, flush=True)


def sweep(study: Path, runs: Path, jobs: int, end: float) -> None:
    """Train a study until the runs have to save and stop for all to be over at a moment (`time.monotonic`)."""
    memory = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.2f}"}  # of the GPU, for each process
    words = [*MAG, "sweep", str(study), "--seeds-together", "--jobs", str(jobs), "--runs", str(runs)]
    process = subprocess.Popen(words, env=memory | os.environ)
    for moment in (end - SAVE_SECONDS, end):
        try:
            process.wait(max(1.0, moment - time.monotonic()))
            return
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
    process.wait()


def main() -> int:
    """Measure, train and report; returns the exit code of the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=25.0, help="all in all (default: 25)")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder to write to (default: gpu)")
    parser.add_argument("--study", type=Path, default=Path(__file__).with_name("gpu.toml"))
    parser.add_argument("--jobs", type=int, default=2, help="methods trained side by side (default: 2)")
    parser.add_argument("--bench", nargs="*", default=BENCHMARKS, help="benchmarks (default: all; none: no measuring)")
    options = parser.parse_args()
    begin, seconds = time.monotonic(), 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    bench(options.bench, options.out, BENCH_SHARE * seconds)
    runs = options.out / "runs"
    sweep(options.study, runs, options.jobs, begin + seconds - REPORT_SECONDS)
    return subprocess.run([*MAG, "report", str(runs), "--out", str(options.out / "report")]).returncode


if __name__ == "__main__":
    sys.exit(main())
