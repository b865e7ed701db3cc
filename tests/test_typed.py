"""What the pages tell to type is typed: each shell line of README and docs runs, cut short, or has a reason not to."""

import io
import re
import runpy
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import jax
import pytest

from mag import cli
from mag.algorithms.registry import default_config
from mag.experiments import jobs
from mag.experiments.study import load_study
from mag.reports import bench
from mag.runs import zoo
from mag.runs.config_file import claim
from tests.experiments.support import fake_program, write_study
from tests.support.pages import PAGES, ROOT, blocks, name
from tests.support.typed import ELSEWHERE, MODELS, QUICK, RUN, VARIABLES, commands, reason, shortened, typed

SLOW = re.compile("diagnose|watch zoo/.*-mag|train --config|train --env probe/relay --(?!size)")
"""Commands whose programs take long to compile: `make test` plays every environment and, of the methods, MAG."""
COMMANDS = commands()
FEW = (ROOT / "studies/figure4.toml").read_text().replace("seeds = 5", "seeds = 1")
"""A study of five runs."""


def test_every_line_that_is_typed_is_found():
    """A block without a language holds nothing else."""
    for page in PAGES:
        lines = [line for block in blocks(page) if block.language == "" for line in block.text.splitlines()]
        words = [re.sub(VARIABLES, "", line.strip()) for line in lines]
        assert [line for line in words if not any(line.startswith(each) for each in typed(page))] == []


def test_every_reason_is_that_of_a_line():
    lines = [line for page in PAGES for line in typed(page)]
    assert [begin for begin in ELSEWHERE if not any(re.match(begin, line) for line in lines)] == []
    assert all(reason(line) or line.startswith(("mag ", "python ")) for line in lines)


def test_what_is_run_has_the_words_of_the_line():
    line = "train --env smax/2s3z --algo commnet --networks.rounds 2 --steps 500000".split()
    short = ("--size", "debug", "--steps", "32")
    assert list(shortened(line)) == [
        ("train", "--env", "smax/3s_vs_3z", *QUICK.split(), *short),
        ("train", "--env", "probe/relay", "--algo", "commnet", "--networks.rounds", "2", *short),
    ]
    assert list(shortened(["watch", "RUN", "--episodes", "4", "--out", "a.html"])) == [
        ("watch", "RUN", "--out", "a.html", "--episodes", "1")
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the lines name: modules, maps, studies and another method's curve."""
    folder = tmp_path_factory.mktemp("typed")
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python" and block.file:
                (folder / block.file).write_text(block.text)
            elif block.language == "toml" and "allies" in block.text:
                (folder / ("3m.toml" if "[starcraft]" in block.text else "my_map.toml")).write_text(block.text)
            elif block.language == "toml" and "my_method" in block.text:
                (folder / "mine.toml").write_text(block.text)
    (folder / "studies").mkdir()
    for study in ("figure2", "figure4"):
        (folder / "studies" / f"{study}.toml").write_text(FEW)
    (folder / "qmix.csv").write_text("env_steps,seed,win_rate\n0,0,0\n100000,0,0.5\n")
    with claim(folder / MODELS, default_config("mag", "probe/relay", "debug", "tuned")):
        pass
    return folder


@pytest.fixture(scope="module")
def runs(place):
    """The runs that the lines go on with, in that folder: one, and copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        call((*f"train --env smac_jax/3s_vs_3z {QUICK} --size debug --steps 32 --run".split(), RUN))
    for copy in ("runs/a", "runs/b"):
        shutil.copytree(place / RUN, place / copy)


@pytest.fixture
def swept(here, tmp_path, monkeypatch):
    """Runs of a study are made in milliseconds, and those of one are there, made anew for each page."""
    shutil.rmtree(here / "runs/figure2", ignore_errors=True)
    write_study(tmp_path, (here / "mine.toml").read_text())
    write_study(tmp_path, FEW)
    monkeypatch.setattr(jobs, "PROGRAM", fake_program(tmp_path))
    monkeypatch.setattr("mag.experiments.sweep.PAUSE", 0.02)
    call(("sweep", "studies/figure2.toml"))


@pytest.fixture
def here(place, monkeypatch):
    """The folder, in which a line is typed; what takes hours is replaced."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(bench, "measure", traced)
    monkeypatch.setattr(bench, "default_config", in_size_debug)
    monkeypatch.setitem(bench.BENCHMARKS, "env", partial(bench.env, ("probe/counter",)))
    before = set(sys.modules)
    yield place
    for each in set(sys.modules) - before:
        if each.startswith("my_"):
            del sys.modules[each]


def traced(function, *args, flops, **_):
    """In place of a measurement: the program is made, but not compiled."""
    jax.eval_shape(function, *args)
    return {"seconds": 1.0, "compile_seconds": 1.0} | ({} if flops is None else {"dense_tflop": flops / 1e12})


def in_size_debug(algo, env, size="auto", recipe="auto", spec=None):
    return default_config(algo, env, "debug", recipe, spec=spec)


def call(words):
    """What `mag WORDS` or `python WORDS` prints, in this process."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            if words[0] == "python":
                python(*words[1:])
            else:
                cli.main(words)
        except SystemExit as end:
            assert not end.code, printed.getvalue()
    return printed.getvalue()


def python(*words):
    """`python WORDS`; of a program of the repository, which would take its time, only that it knows the options."""
    with pytest.MonkeyPatch.context() as patch:
        if words[0] == "-m":
            patch.setattr(sys, "argv", list(words[1:]))
            patch.setattr(zoo, "FOLDER", Path("zoo"))  # not that of the package
            runpy.run_module(words[1], run_name="__main__")
        else:
            patch.setattr(sys, "argv", [*words, "--help"])
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")


CASES = [
    pytest.param(lines, id=case, marks=pytest.mark.slow if SLOW.match(case) else ()) for case, lines in COMMANDS.items()
]


@pytest.mark.filterwarnings("ignore:'mag.runs.export' found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("lines", CASES)
def test_it_runs(lines, here, request):
    if any(word.startswith("runs/") and word != MODELS for words in lines for word in words):
        request.getfixturevalue("runs")
    if any(words[0] == "sweep" for words in lines):
        request.getfixturevalue("swept")
    for words in lines:
        if words[0] == "diagnose":
            call(("train", "--config", MODELS, "--run", MODELS))  # until it has learned
        assert call(words)


def test_the_study_of_the_page_is_one(tmp_path):
    (text,) = (
        block.text
        for page in PAGES
        for block in blocks(page)
        if name(page) == "docs/studies.md" and block.language == "toml"
    )
    (tmp_path / "horizon.toml").write_text(text)
    # For each of five seeds MAMBA, which does not plan, and MAG with each of four horizons.
    assert len(load_study(tmp_path / "horizon.toml").cells) == 5 * (1 + 4)
