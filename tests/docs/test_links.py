"""What documents point to is there: files, headings, and paths of this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("dashboards/*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:tracer|tests|benchmarks|dashboards|demo_site|docs)/[\w./-]+)`")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def prose(document):
    return FENCED.sub("", document.read_text())


def anchors(document):
    """Headings as GitHub names them."""
    found = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in found)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def name(document):
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_to_files_and_headings(document):
    broken = []
    for target in LINK.findall(prose(document)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        leads_to = (document.parent / path).resolve() if path else document
        there = leads_to.is_relative_to(ROOT) and leads_to.exists()
        if not there or (anchor and anchor not in anchors(leads_to)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_paths_that_are_named_exist(document):
    named = PATH.findall(prose(document))
    assert not [one for one in named if not (ROOT / one).exists()]


def test_every_decision_is_in_the_index():
    listed = LINK.findall((DECISIONS / "README.md").read_text())
    pages = sorted(path.name for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [one for one in listed if one[0].isdigit()] == pages
    assert [int(page[:3]) for page in pages] == list(range(1, len(pages) + 1))
