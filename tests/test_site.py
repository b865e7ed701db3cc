"""Pages hold what the code says, and the site builds strictly from them and the results, without the network."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mag.algorithms.registry import ALGORITHMS, default_config
from mag.options import options
from mag.runs import zoo
from mag.runs.metrics import METRICS
from tests.support.pages import ROOT, name


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a broken link, anchor or reference is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def pages(monkeypatch):
    """The program that `make pages` runs."""
    monkeypatch.syspath_prepend(ROOT / "docs/hooks")
    return importlib.import_module("pages")


def test_pages_hold_what_the_code_says(pages):
    """Tables, help and the picture of the rooms; every block has its end."""
    made = pages.made()
    stale = [name(path) for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run make pages"
    assert all(text.count("<!-- make pages:") == len(pages.BLOCK.findall(text)) for text in made.values())


def test_a_page_that_says_otherwise_would_be_found(pages):
    text = pages.filled("before\n\n<!-- make pages: maps probe -->\nold\n<!-- end -->\n\nafter\n")
    assert text.startswith("before\n\n<!-- make pages: maps probe -->\n\n| name |")
    assert "`probe/relay`" in text and "old" not in text
    assert text.endswith("|\n\n<!-- end -->\n\nafter\n") and pages.filled(text) == text


def test_win_rates_are_those_of_the_results(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "docs/hooks")
    results = importlib.import_module("results")
    (tmp_path / "figure2").mkdir()
    rows = ["a | MAG | 3 | 0.53 | 0.39 0.60 0.60", "a | G2A | 1 | 0.10 | 0.10", "a | CommNet | 5 | 0.20 | 0.20"]
    rows += ["b | MAMBA | 1 | 0.05 | 0.05", "b | G2A | 2 | 0.00 | 0.00 0.00"]
    (tmp_path / "figure2/table.md").write_text(
        "## Of environments\n\n| env |\n| --- |\n| a |\n\n## Of curves\n\n| env | curve | seeds | mean | by seed |\n"
        + "| --- | --- | --- | --- | --- |\n"
        + "".join(f"| smac_jax/{row} |\n" for row in rows)
    )
    (tmp_path / "published.csv").write_text("# A source.\nmap,steps,MARIE\nb,200000,78 (11)\na,1000,9\n")
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "PUBLISHED", tmp_path / "published.csv")
    assert results.win_rates().splitlines()[2:] == [
        "| a | 0.53 (3; median 0.60) | not run | CommNet 0.20 (5) |",
        "| b | not run | 0.05 (1) | 0.00 (2) |",
    ]
    assert results.beside_published().splitlines()[2:] == [
        "| b | 200 000 | 78 (11) | not run | 5 (1 seed) |",
        "| a | 1 000 | 9 | 53 (3 seeds) | not run |",
    ]


def test_scores_have_fig_2_first_and_no_runs_twice(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "docs/hooks")
    results = importlib.import_module("results")
    kept = {each: "steps = 40_000\n" for each in ("easy", "figure4", "newest", "planning")}
    kept["figure2"] = '[steps]\n"x/a" = 100_000\ndefault = 200_000\n'
    for study, file in kept.items():
        (tmp_path / study).mkdir()
        (tmp_path / study / "study.toml").write_text(file)
        (tmp_path / study / "table.md").write_text(
            "| env | curve | seeds | mean | IQM | by seed |\n| --- | --- | --- | --- | --- | --- |\n"
            f"| x/a | MAG | {len(study)} | 0.50 | 0.50 | 0.50 |\n| x/a | MAG, horizon 1 | 1 | 0.04 | 0.04 | 0.04 |\n"
        )
    monkeypatch.setattr(
        results, "VERSION_OF", {"newest": "F", "planning": "E", "figure4": "E", "figure2": "C to E", "easy": "A"}
    )
    monkeypatch.setattr(results, "TODAYS", {"newest": ", horizon 1"})
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    rows = [[cell.strip() for cell in row.split("|")[1:6]] for row in results.scores("mag").splitlines()[2:]]
    assert [row[0].partition("]")[0][1:] for row in rows] == ["figure2", "newest", "planning", "easy"]
    assert [row[2:] for row in rows] == [
        ["100 000", "C to E", "7"],
        ["40 000", "F", "1"],
        ["40 000", "E", "8"],
        ["40 000", "A", "4"],
    ]


def test_a_trained_policy_tells_the_options_that_its_recipe_had(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/hooks")
    tables = importlib.import_module("tables")
    told = tables.since_changed(zoo.entry(Path("zoo/3s_vs_3z-mag")))
    assert {"--ppo.gamma 0.99", "--collect.time-limit cut"} <= set(told)
    assert not [each for each in told if each.startswith(("--rollout.replayed", "--workers"))]


def page(site, place):
    return (site / place / "index.html").read_text()


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
    assert 'src="../assets/rooms.svg"' in page(site, "architecture")
    assert "planners (5)" in (site / "assets/rooms.svg").read_text()
