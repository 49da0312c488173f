"""Giving way: nicer, interrupted by whoever wakes, and never less modest than before."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.server import ROOT, agents_of, environment, guardians_of
from tracer.agent.session import open_session
from tracer.launch.spawn import _GUARDIAN

# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
READ_SLICE = """
import ctypes, os, struct
number = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
def own_slice():
    answer = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(number, 0, answer, 48, 0) == 0
    return struct.unpack("=IIQiIQQQ", answer.raw)[5]
"""
LINUX = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def answer_of(code):
    ran = subprocess.run(
        [sys.executable, "-c", READ_SLICE + textwrap.dedent(code)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


def test_it_is_nicer_by_what_is_asked_and_so_are_its_children():
    before, after, child = answer_of("""
        import subprocess, sys
        from tracer.launch.priority import give_way
        print(os.nice(0))
        give_way(3)
        print(os.nice(0), flush=True)
        subprocess.run([sys.executable, "-c", "import os; print(os.nice(0))"], check=True)
    """)
    assert int(after) == int(child) == min(int(before) + 3, 19)


@pytest.mark.skipif(
    LINUX < (6, 12), reason="the length of a slice can be asked for since Linux 6.12"
)
def test_its_slices_are_longer_than_those_of_whoever_may_interrupt_it():
    before, after, thread = answer_of("""
        import threading
        from tracer.launch.priority import give_way
        print(own_slice())
        give_way(1)
        print(own_slice())
        threading.Thread(target=lambda: print(own_slice())).start()
    """)
    assert int(before) < 20_000_000 == int(after) == int(thread)


def test_who_is_idle_stays_idle():
    (policy,) = answer_of("""
        from tracer.launch.priority import give_way
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        give_way(3)
        print(os.sched_getscheduler(0) == os.SCHED_IDLE)
    """)
    assert policy == "True"


@pytest.mark.parametrize(
    "broken", ["platform.machine = lambda: 'pdp11'", "ctypes.CDLL = lambda _: object()"]
)
def test_a_machine_that_is_not_known_has_niceness_alone(broken):
    before, after = answer_of(f"""
        import ctypes, platform
        from tracer.launch.priority import give_way
        {broken}
        print(os.nice(0))
        give_way(2)
        print(os.nice(0))
    """)
    assert int(after) == min(int(before) + 2, 19)


def test_an_agent_is_nicer_than_its_server_and_so_is_its_session(tmp_path):
    with open_session(tmp_path / "site.tracer") as session:
        session.sync()
        (agent,) = agents_of(tmp_path / "site.tracer")
        (guardian,) = guardians_of(tmp_path / "site.tracer")
        here = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, agent) > here
        assert os.getpriority(os.PRIO_PROCESS, guardian) == here
        grouped = Path(f"/proc/{agent}/autogroup")
        if grouped.exists() and (said := grouped.read_text()):
            assert said.split()[-2:] == ["nice", "10"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root isn't made to wait, and can be somebody else")
@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="sessions aren't grouped")
def test_sessions_of_a_user_that_begin_at_once_are_all_nice():
    """`tracer compare` begins two; one that isn't nice would make its server the slower one."""

    agent = ("/bin/sh", "-c", "cat /proc/self/autogroup", "", "/tmp")  # noqa: S108 - only looked at
    words = ("/bin/sh", "-c", _GUARDIAN, "guardian", *agent)
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "start_new_session": True}
    several = [
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **nobody) for _ in range(3)
    ]
    assert [one.communicate()[0].split()[1:] for one in several] == [["nice", "10"]] * 3
