"""A body of very many pieces: past the limit its marks are added up, and nothing else is lost."""

from __future__ import annotations

import itertools

import pytest

from tests.support import timelines
from tracer.analysis.attribution.attribute import attribute
from tracer.model import timeline as t
from tracer.model.frames import closed, decode_timeline
from tracer.model.marks import HARD_LIMIT, MARK_LIMIT
from tracer.model.timeline import Timeline
from tracer.runtime import streams as chunks
from tracer.runtime.scopes import mark, mark_at
from tracer.runtime.streams import TOGETHER, Pulls, sent

TOOK, BETWEEN = 7, 3


@pytest.fixture
def clock(monkeypatch):
    """Instants of which every other one is the end of a pull."""
    steps = itertools.accumulate(itertools.cycle((BETWEEN, TOOK)))
    monkeypatch.setattr(chunks, "now", lambda: next(steps))


@pytest.fixture
def full():
    made = Timeline(1, 0, 0, 0)
    for _ in range(MARK_LIMIT):
        mark_at(made, (t.READ, 0, 1, 0))
    return made


def pull(pulls, count, within=lambda: None):
    for _ in range(count):
        began = pulls.begin()
        within()
        pulls.end(began)


def pairs(timeline):
    """Return begin, end and stream of the pulls that were marked past the limit."""
    marks = timeline.marks()[MARK_LIMIT:]
    begun = [mark for mark in marks if mark[0] == t.PULL]
    ended = [mark for mark in marks if mark[0] == t.PULLED]
    assert [one[2:] for one in begun] == [one[2:] for one in ended]
    return [(one[1], other[1], one[3]) for one, other in zip(begun, ended, strict=True)]


def test_before_the_limit_every_pull_is_marked_and_after_it_their_sum_is():
    timeline = Timeline(1, 0, 0, 0)
    pull(Pulls(timeline, 1), MARK_LIMIT)
    written = len(timeline)
    assert MARK_LIMIT <= written < MARK_LIMIT * 1.01
    assert timeline.folded == 2 * MARK_LIMIT - written


@pytest.mark.usefixtures("clock")
def test_pulls_that_are_folded_take_what_they_took(full):
    pulls = Pulls(full, 5)
    pull(pulls, 3 * TOGETHER + 9)
    pulls.end(pulls.begin(), last=True)
    found = pairs(full)
    assert [end - begin for begin, end, _ in found] == [*[TOGETHER * TOOK] * 3, 10 * TOOK]
    assert all(end <= begin for (_, end, _), (begin, _, _) in itertools.pairwise(found))
    assert {stream for _, _, stream in found} == {5}
    assert full.folded == 2 * (3 * TOGETHER + 10) - 2 * len(found)


@pytest.mark.usefixtures("clock")
def test_a_pull_in_which_something_happened_is_marked_where_it_was(full):
    pulls = Pulls(full, 1)
    pull(pulls, 4)
    pull(pulls, 1, within=lambda: mark_at(full, (t.YIELD, 0, 1, 0)))
    pull(pulls, 2)
    mark(full, t.CONNECT, 0)
    pull(pulls, 1)
    pulls.end(pulls.begin(), last=True)
    each = TOOK + BETWEEN
    ends = [4 * each, 5 * each, 7 * each, 9 * each]
    assert [(end, end - begin) for begin, end, _ in pairs(full)] == list(
        zip(ends, [4 * TOOK, TOOK, 2 * TOOK, 2 * TOOK], strict=True)
    )


def test_of_pieces_that_are_sent_the_last_one_counts(full):
    for _ in range(5):
        sent(full)
    assert (len(full), full.folded) == (MARK_LIMIT, 5)
    last_ns = full.last_ns
    _, marks = decode_timeline(closed(full, last_ns, (1, 2, None)))
    assert marks[-1][:2] == (t.LAST, last_ns)


def test_beyond_all_limits_what_was_not_written_down_is_nobodys():
    ns = timelines.START_NS
    enter, leave = ((code, 5) for code in (t.ENTER, t.EXIT))
    marks = [(t.STEP, ns, timelines.LOOP, t.ROOT)]
    for number in range(1, HARD_LIMIT):
        code, value = enter if number % 2 else leave
        marks.append((code, ns + number, timelines.LOOP, value))
    known_ns, last_ns = marks[-1][1], marks[-1][1] + 12_345
    marks.append((t.LAST, last_ns, timelines.LOOP, 0))
    request = attribute(timelines.head(finish_ns=last_ns + 5), marks, timelines.WORKER, ())
    assert request.end_ns == last_ns
    assert request.segments[-1].start_ns == known_ns
    assert request.layers["unattributed"] == 12_345
