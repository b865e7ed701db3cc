"""The README is a page long, its links and names exist, and its numbers are those of the results."""

import re

import pytest

from tests.support.pages import PAGES, ROOT, links

README = (ROOT / "README.md").read_text()


def test_it_fits_a_page():
    assert len(README.splitlines()) <= 120
    assert len(README.encode()) <= 6000


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.name)
def test_what_it_links_to_exists(page):
    missing = [link for link in links(page) if link and not (ROOT / link).exists()]
    assert not missing


def test_its_win_rates_are_those_of_the_results():
    table = (ROOT / "results/easy-150k/table.md").read_text()
    kept = dict(re.findall(r"^\| (smac_jax/\w+ \| MA(?:G|MBA)) \| \d+ \| ([\d.]+)", table, re.M)[:6])
    told = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|$", README, re.M)
    assert len(told) == 3
    for map_name, mag, mamba in told:
        assert (mag, mamba) == (kept[f"smac_jax/{map_name} | MAG"], kept[f"smac_jax/{map_name} | MAMBA"])


def test_its_pictures_are_small():
    assert (ROOT / "docs/assets/battle.gif").stat().st_size < 500_000
