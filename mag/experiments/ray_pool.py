"""Running `mag train` for the cells of a study on a Ray cluster: `mag sweep --ray ADDRESS`.

Every node needs `mag`. A run is trained in a scratch folder of its node, and the run folder is sent back when the run
ends, also when it was asked to stop; that of a finished run is removed once the sweep has it.
If a worker or a node dies, Ray gives its run to another one, which resumes from the folder in that node's scratch or
from the one that the sweep sent, whichever was trained further.
"""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from mag.errors import UsageError
from mag.experiments import jobs
from mag.experiments.jobs import Job, Outcome, glance, is_in_use, why
from mag.experiments.records import differences
from mag.options import to_json
from mag.runs.config_file import read_config
from mag.runs.folder import RunFolder, put_back, replace

RETRIES = 5
"""How often Ray restarts a run whose worker died."""
PAUSE = 0.5
"""Seconds between two checks of a process and of requests to stop."""
REFUSED = 2
"""Exit code of a run that was refused."""
PATIENCE = 5.0
"""Seconds that a node has to remove a run's scratch folder."""


class Trained(NamedTuple):
    """The result of a run, as a node sends it back."""

    code: int
    log: bytes
    folder: bytes
    """The run folder, as a tar file; empty where there is none."""
    node: str
    """The node's identity in the cluster."""


class RayJobs:
    """Jobs on a Ray cluster, each with its share of the CPUs and GPUs."""

    def __init__(self, address: str, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        """`address` of the cluster's head, `auto` for this machine's cluster, or `local` for a new one.

        Raises UsageError where Ray is not installed or no cluster answers.
        """
        self._ray = ray = import_ray()
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", namespace="mag")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(f"--ray {address}: no cluster answers ({error}); `ray start --head` starts one") from error
        self._share = {"num_cpus": cpus, "num_gpus": gpus}
        self._jobs: dict[Any, tuple[Job, float]] = {}
        self._asked = False
        stop = ray.remote(num_cpus=0, max_restarts=-1)(Stop)
        self._stop = stop.remote()
        self._train = ray.remote(max_retries=RETRIES)(train_here)

    def is_full(self) -> bool:
        return len(self._jobs) >= self._places()

    def _places(self) -> int:
        """Number of runs that the cluster can train at once at present, at least 1."""
        there = self._ray.cluster_resources()
        places = [there.get(name, 0.0) // share for name, share in self._names() if share > 0]
        return max(1, int(min(places))) if places else 1

    def _names(self) -> list[tuple[str, float]]:
        return [("CPU", self._share["num_cpus"]), ("GPU", self._share["num_gpus"])]

    def start(self, job: Job) -> None:
        program = None if jobs.PROGRAM == jobs.OWN_PROGRAM else jobs.PROGRAM
        task = self._train.options(**self._share, name=job.name)
        config = to_json(job.config)
        ref = task.remote(job.path.parent.name, job.name, job.words, packed(job.path), config, program, self._stop)
        self._jobs[ref] = (job, time.monotonic())

    def running(self) -> dict[Job, float]:
        return dict(self._jobs.values())

    def ended(self) -> list[Outcome]:
        refs = list(self._jobs)
        if not refs:
            return []
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [self._collect(ref, self._jobs.pop(ref)[0]) for ref in ready]

    def _collect(self, ref: Any, job: Job) -> Outcome:
        try:
            trained: Trained = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Outcome(job, 1, f"the cluster gave up this run: {lines[-1].strip()}")
        job.path.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            log.write(trained.log)
        if trained.code != REFUSED:
            unpack(trained.folder, job.path)
        if trained.code == 0:
            self._forget(job, trained.node)
        return Outcome(job, trained.code, why(job.log, trained.code))

    def _forget(self, job: Job, node: str) -> None:
        """Have a node remove its copy of a run, now that the sweep has it; a node that is gone, or slow, keeps it."""
        there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        forget = self._ray.remote(num_cpus=0, max_retries=0)(forget_here)
        done = forget.options(scheduling_strategy=there).remote(job.path.parent.name, job.name)
        self._ray.wait([done], timeout=PATIENCE)

    def interrupt(self) -> None:
        if self._asked:  # the second request stops at once
            for ref in self._jobs:
                self._ray.cancel(ref, force=True)
            return
        self._asked = True
        self._ray.get(self._stop.ask.remote())


def import_ray() -> Any:
    """The module `ray`. Raises UsageError where Ray is not installed."""
    try:
        import ray
        import ray.util.scheduling_strategies

        return ray
    except ImportError as error:
        raise UsageError("--ray needs Ray; install it with pip install 'models-as-agents[sweep]'") from error


class Stop:
    """A Ray actor that tells all runs whether to save and stop."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self) -> None:
        self._asked = True

    def asked(self) -> bool:
        return self._asked


def train_here(
    study: str,
    name: str,
    words: list[str],
    folder: bytes,
    config: dict[str, Any],
    program: tuple[str, ...] | None,
    stop: Any,
) -> Trained:
    """Train on this node, in a process of its own; returns when the process ends.

    What an earlier sweep has left here of a run of this name is trained on if its options were those of `config`.
    """
    import ray

    path = scratch() / study / name
    path.parent.mkdir(parents=True, exist_ok=True)
    while is_in_use(path):  # by the process of a worker that died on this node
        time.sleep(PAUSE)
    if is_of_other_options(path, config):
        shutil.rmtree(path)
    adopt(folder, path)
    words = [*words[: words.index("--run")], "--run", str(path)]
    log = path.with_name(f"{name}.log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*(program or (sys.executable, "-m", "mag")), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | memory_share(ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)),
        )
    wait_for(process, lambda: is_asked(ray, stop))
    # The folder stays until the sweep has it (`forget_here`): a sweep that is killed meanwhile gets it the next time.
    return Trained(process.returncode, log.read_bytes(), packed(path), ray.get_runtime_context().get_node_id())


def is_of_other_options(path: Path, config: dict[str, Any]) -> bool:
    """Whether the run at `path` was trained with other options than those of `config`."""
    try:
        return bool(differences(read_config(RunFolder(path))["config"], config))
    except UsageError:
        return False  # there is none, or it is damaged, which `mag train` tells


def forget_here(study: str, name: str) -> None:
    """Remove a run's folder and log from this node's scratch."""
    path = scratch() / study / name
    shutil.rmtree(path, ignore_errors=True)
    path.with_name(f"{name}.log").unlink(missing_ok=True)


def wait_for(process: subprocess.Popen[bytes], is_to_stop: Any) -> None:
    """Wait for a process to end; when `is_to_stop()` is true, ask the process once to save and stop."""
    asked = False
    try:
        while process.poll() is None:
            if not asked and is_to_stop():
                asked = True
                process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PAUSE)
    except BaseException:
        process.kill()
        raise


def is_asked(ray: Any, stop: Any) -> bool:
    """Whether the sweep wants its runs to stop; False if the actor does not answer."""
    try:
        return bool(ray.get(stop.asked.remote(), timeout=5))
    except ray.exceptions.RayError:
        return False


def memory_share(gpus: float) -> dict[str, str]:
    """The environment variable that limits a run with a share of a GPU to that share of the GPU's memory."""
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * gpus:.3f}"} if 0 < gpus < 1 else {}


def scratch() -> Path:
    """Where runs are trained on a node: `$MAG_SCRATCH`, else in the folder for temporary files."""
    return Path(os.environ.get("MAG_SCRATCH") or Path(tempfile.gettempdir()) / f"mag-sweep-{os.getuid()}")


def adopt(folder: bytes, path: Path) -> None:
    """Put the folder that was sent at `path`, unless the run at `path` was trained at least as far."""
    put_back(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        sent = Path(place) / path.name
        unpack(folder, sent)
        if sent.exists() and glance(sent).env_steps > glance(path).env_steps:
            unpack(folder, path)


def packed(path: Path) -> bytes:
    """A run folder as a tar file; empty where there is none."""
    put_back(path)
    if not path.is_dir():
        return b""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        archive.add(path, arcname=".")
    return file.getvalue()


def unpack(folder: bytes, path: Path) -> None:
    """Replace the folder at `path` by a tar file from `packed`; an empty one changes nothing.

    Until the new folder is whole and in its place, the old one is kept (`mag.runs.folder.replace`).
    """
    if not folder:
        return
    draft = path.with_name(f".{path.name}.incoming")
    shutil.rmtree(draft, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(folder)) as archive:
        archive.extractall(draft, filter="data")
    replace(path, draft)
