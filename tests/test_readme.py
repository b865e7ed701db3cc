"""The README is a page long, all pages' links exist in the repository."""

import re

import pytest

from tests.support.pages import FENCE, PAGES, ROOT, anchors, leads_somewhere, links, name

README = (ROOT / "README.md").read_text()
LINKING = [*PAGES, *(ROOT / page for page in ("CHANGELOG.md", "examples/README.md", "results/README.md"))]
ONLY_OF_THE_SITE = re.compile(r"^(?:===|!!!|\?\?\?) |^\{\{|\]\[", re.M)
"""Tabs, notes, places to fill in, and links by a name instead of a place."""


def test_it_fits_a_page():
    assert len(README.splitlines()) <= 120
    assert len(README.encode()) <= 6000


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_what_a_page_links_to_exists(page):
    """Files and, in pages, anchors; the site's strict build checks that they exist there, too."""
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_a_page_is_shown_without_the_site(page):
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    assert ONLY_OF_THE_SITE.findall(text) == []


def test_a_broken_link_would_be_found():
    page = ROOT / "README.md"
    assert leads_somewhere(page, "docs/index.md#find-an-answer") and leads_somewhere(page, "#citation")
    assert not leads_somewhere(page, "docs/index.md#no-such-heading")
    assert not leads_somewhere(page, "docs/no-such-page.md")


def test_a_heading_is_linked_as_web_hosts_of_repositories_do():
    text = "# One, two: `three_four` (5)\n\n```\n# none\n```\n\n## [Six](six.md) — 7\n\n## Six - 7\n\n## 8\n\n## 8\n"
    assert anchors(text) == {"one-two-three_four-5", "six--7", "six---7", "8", "8-1"}


def test_its_pictures_are_small():
    assert (ROOT / "docs/assets/battle.gif").stat().st_size < 500_000
