"""The site builds strictly, from the code and the results as they are, and asks nothing of the network."""

import re
import subprocess
import sys

import pytest

from mag.algorithms.registry import ALGORITHMS, default_config
from mag.options import options
from mag.runs.metrics import METRICS
from tests.support.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a broken link, anchor or reference is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def page(site, place):
    return (site / place / "index.html").read_text()


def test_nothing_is_left_to_fill_in(site):
    assert not [path for path in site.rglob("*.html") if re.search(r"\{\{ \w+ .*\}\}", path.read_text())]


def test_nothing_is_loaded_from_elsewhere(site):
    """Links may lead out; scripts, styles, fonts and pictures may not."""
    loads = re.compile(r"""<(?:script|img|link rel="(?:stylesheet|preconnect)")[^>]*(?:src|href)=["']?https?://""")
    assert not [path for path in site.rglob("*.html") if loads.search(path.read_text())]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_option_is_in_the_reference(site, algo):
    text = page(site, "reference/configuration")
    found = options(default_config(algo, "smac_jax/3s_vs_3z", "paper", "paper"))
    spelt = [f"--{each.name.replace('_', '-')}" for each in found if each.name not in ("algo", "env")]
    assert not [option for option in spelt if f"<code>{option}</code>" not in text]


def test_every_metric_is_in_the_reference(site):
    text = page(site, "reference/metrics")
    assert not [name for name in METRICS if f"<code>{name}</code>" not in text]


def test_every_study_has_its_page_and_picture(site):
    for file in ROOT.glob("results/*/study.toml"):
        study = file.parent.name
        text = page(site, f"results/{study}")
        row = (file.parent / "table.md").read_text().splitlines()[4]
        assert re.sub(r"\W+", "", row) in re.sub(r"\W+", "", re.sub(r"<[^>]*>", "", text))
        assert f"{study}.png" in text and (site / f"results/{study}.png").exists()


def test_messages_of_errors_are_listed(site):
    # Said by `mag.runs.folder.take_lock`.
    assert "is in use by process" in page(site, "reference/errors")


def test_rooms_are_drawn_from_the_code(site):
    text = page(site, "architecture")
    assert "<svg" in text and "planners (5)" in text
