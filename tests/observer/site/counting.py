"""Count tasks, executor submissions and thread starts, below and beside every probe.

Tasks are counted by the class that every loop makes them of, threads by the function
under `threading.Thread.start`, hand-offs by what the executors are given.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import concurrent.futures.thread as pool
import itertools
import json
import threading

import asgiref.current_thread_executor as current

_counters = {name: itertools.count() for name in ("tasks", "handoffs", "threads")}
_seen = dict.fromkeys(_counters, 0)


def _count(name):
    _seen[name] = next(_counters[name]) + 1


def _counting(name, original):
    def counted(*args, **kwargs):
        _count(name)
        return original(*args, **kwargs)

    return counted


class CountedTask(asyncio.Task):
    """A task that counts."""

    def __init__(self, *args, **kwargs):
        _count("tasks")
        super().__init__(*args, **kwargs)


def install():
    """Begin to count; before a loop or a server is imported."""
    asyncio.Task = asyncio.tasks.Task = CountedTask
    pool.ThreadPoolExecutor.submit = _counting("handoffs", pool.ThreadPoolExecutor.submit)
    executor = current.CurrentThreadExecutor
    for method in ("submit", "_submit"):
        if method in vars(executor):
            setattr(executor, method, _counting("handoffs", getattr(executor, method)))
    for function in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, function):
            setattr(threading, function, _counting("threads", getattr(threading, function)))


def told():
    """What was counted so far."""
    return json.dumps(_seen).encode()
