"""When agents begin, go on and end: one for a directory, as long as anybody needs it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.agent.rings import (
    WORKER,
    is_recorded,
    is_whole,
    kill,
    kill_agent,
    recorded,
    send,
    writer_in,
)
from tests.support.server import ROOT, agents_of, environment, guardians_of, processes_of, wait_for
from tracer.agent.session import AgentError, open_session
from tracer.launch.spawn import RING_DIRECTORY, AgentSpawner
from tracer.recording.reader import Recording
from tracer.ring.directory import DirectoryError, check, directory_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "site.tracer"


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Ring directories of this test alone."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TRACER_RING_HOME", str(home))
    return home


def run(code, *arguments, home, **variables):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env=environment(TRACER_RING_HOME=str(home), **variables),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gone(path):
    return wait_for(lambda: not agents_of(path) and not guardians_of(path), 12)


def test_a_killed_agent_comes_again_with_the_recording_it_had(path):
    with open_session(path) as session:
        writer = writer_in(session.directory, 16 << 20)
        for number in (1, 1_001):
            send(writer, 1_000, number)
            kill_agent(path)
        send(writer, 500, 2_001)
        session.sync()
        assert recorded(path) == (list(range(1, 2_501)), 0)
    assert recorded(path) == (list(range(1, 2_501)), 0)
    assert gone(path)
    assert is_whole(path)


def test_the_guardian_is_small_and_idles(path):
    with open_session(path):
        (pid,) = guardians_of(path)
        status = Path(f"/proc/{pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        ran = Path(f"/proc/{pid}/schedstat").read_text().split()[0]
        time.sleep(0.3)
        assert Path(f"/proc/{pid}/schedstat").read_text().split()[0] == ran
        assert resident < 4_096


def test_killing_the_guardian_ends_nothing_and_leaves_nothing(path):
    with open_session(path) as session:
        kill(guardians_of(path))
        writer = writer_in(session.directory)
        send(writer, 5)
        session.sync()
        assert len(agents_of(path)) == 1
    assert recorded(path) == ([1, 2, 3, 4, 5], 0)
    assert gone(path)


def test_a_guardian_whose_agent_cannot_be_run_gives_up(path, monkeypatch, home):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(AgentError, match="without a word"):
            open_session(path)
    assert gone(path)
    assert list(home.iterdir()) == []


def test_a_guardian_whose_directory_is_gone_gives_up(path):
    session = open_session(path)
    shutil.rmtree(session.directory)
    kill_agent(path)
    assert gone(path)


def test_signals_for_the_server_do_not_end_the_agent(path):
    with open_session(path) as session:
        for pid in [*agents_of(path), *guardians_of(path)]:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                os.kill(pid, number)
        send(writer_in(session.directory), 5)
        session.sync()
        assert recorded(path) == ([1, 2, 3, 4, 5], 0)


def test_neither_is_anybodys_child_or_in_anybodys_session(path):
    with open_session(path):
        for pid in [*agents_of(path), *guardians_of(path)]:
            assert os.getsid(pid) not in (os.getsid(0), os.getpid())
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def test_an_agent_holds_no_descriptor_of_who_started_it(path):
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        os.set_inheritable(sock.fileno(), True)
        port = sock.getsockname()[1]
        session = open_session(path)
    with session, socket.socket() as again:
        again.bind(("127.0.0.1", port))


@pytest.mark.parametrize("guarded", [True, False])
def test_it_lives_until_the_last_worker_is_gone(path, home, guarded):
    """Its process ends, is killed rather; a worker lives on, as after SIGUSR2 or --daemon."""
    code = """
        import sys
        from pathlib import Path
        from tracer.agent.session import open_session
        print(open_session(Path(sys.argv[1])).directory, flush=True)
        sys.stdin.read()
    """
    with run(code, path, home=home) as owner:
        directory = owner.stdout.readline().strip()
        with run(WORKER, directory, 5, 1 << 20, home=home) as worker:
            worker.stdout.readline()
            owner.kill()
            if not guarded:
                kill(guardians_of(path))
            time.sleep(0.6)
            assert len(agents_of(path)) == 1
            worker.kill()
            assert gone(path)
    assert recorded(path) == ([1, 2, 3, 4, 5], 0)
    assert not list(home.iterdir())
    with Recording(path) as recording:
        assert not recording.open


def test_a_worker_killed_with_timelines_in_its_ring_loses_none(path, home):
    with open_session(path) as session:
        (agent,) = agents_of(path)
        os.kill(agent, signal.SIGSTOP)
        with run(WORKER, session.directory, 500, 32 << 10, home=home) as worker:
            worker.stdout.readline()
            worker.kill()
        os.kill(agent, signal.SIGCONT)
        session.sync()
        found, dropped = recorded(path)
        assert found[0] == 1
        assert len(found) + dropped == 500
        assert 0 < dropped < 500
        assert wait_for(lambda: not list(session.directory.glob("*.ring")))


def test_who_was_started_in_the_background_is_waited_for(path, home):
    """`sh -c 'server &'` has ended long before its server has imported anything."""
    code = f"""
        import subprocess, sys, os
        from pathlib import Path
        from tracer.agent.session import open_session
        session = open_session(Path(sys.argv[1]))
        late = "import time; time.sleep(1.2)\\n" + {WORKER!r}
        words = [sys.executable, "-c", late, str(session.directory), "3", str(1 << 20)]
        subprocess.Popen(words, env=session.environment(os.environ), stdin=subprocess.PIPE,
                         start_new_session=True)
    """
    with run(code, path, home=home) as owner:
        owner.communicate(timeout=20)
    assert wait_for(lambda: gone(path))
    assert recorded(path)[0] == [1, 2, 3]


SUMMONING = """
    import sys, time
    from pathlib import Path
    from tests.agent.rings import send, writer_in
    from tracer.ring.directory import directory_of
    from tracer.launch.spawn import AgentSpawner
    recording = Path(sys.argv[1])
    directory = directory_of(recording)
    writer = writer_in(directory, prepare=AgentSpawner(recording, directory))
    print("ready", flush=True)
    sys.stdin.readline()
    send(writer, int(sys.argv[2]))
    print("sent", flush=True)
    sys.stdin.read()
"""


def test_of_many_workers_that_start_at_once_one_gets_an_agent(path, home):
    workers = [run(SUMMONING, path, 20, home=home) for _ in range(8)]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n", worker.stderr.read()
        assert not agents_of(path)
        assert list(home.iterdir()) == []
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in workers:
            assert worker.stdout.readline() == "sent\n"
        assert wait_for(lambda: is_recorded(path, 160))
        assert len(agents_of(path)) == 1
        assert len(guardians_of(path)) == 1
        assert len(list(home.iterdir())) == 1
        assert [words[2] for _, words in processes_of(path) if words[0].endswith("sh")]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert gone(path)
    assert list(home.iterdir()) == []
    assert len(recorded(path)[0]) == 160


def test_the_next_server_goes_on_with_the_recording(path, home):
    for _ in range(2):
        with run(SUMMONING, path, 10, home=home) as worker:
            worker.stdin.write("\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "ready\n"
            assert worker.stdout.readline() == "sent\n"
            worker.communicate("", timeout=20)
        assert gone(path)
    found, dropped = recorded(path)
    assert sorted(found) == sorted([*range(1, 11)] * 2)
    assert dropped == 0


def test_a_worker_whose_agent_and_guardian_were_killed_gets_another(path, home):
    recording = path
    directory = directory_of(recording)
    writer = writer_in(directory, 16 << 10, prepare=AgentSpawner(recording, directory))
    send(writer, 5)
    assert wait_for(lambda: is_recorded(path, 5))
    kill_agent(path, guardian=True)
    send(writer, 200, 6)
    numbers = itertools.count(206)

    def another():
        """A worker that goes on serving looks after its ring about once a second."""
        send(writer, 1, next(numbers))
        return len(agents_of(path)) == 1

    assert wait_for(another)
    sent = next(numbers) - 1
    assert wait_for(lambda: is_recorded(path, sent))
    writer._let_go()
    os.close(writer._prepare._alive)
    kill_agent(path, guardian=True)


def test_a_directory_of_somebody_else_is_refused_in_one_line(path, home):
    theirs = directory_of(path)
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65_534, 65_534)
    with pytest.raises(DirectoryError, match="belongs to another user"):
        check(theirs)
    code = """
        import sys, tracer
        thing = object()
        assert tracer.wrap(thing, record=sys.argv[1]) is thing
    """
    with run(code, path, home=home) as process:
        _, err = process.communicate(timeout=20)
    assert "belongs to another user" in err
    assert len(err.strip().splitlines()) == 1
    with run(code, path, home=home, **{RING_DIRECTORY: str(theirs)}) as process:
        _, err = process.communicate(timeout=20)
    assert "belongs to another user" in err
    with pytest.raises(AgentError, match="belongs to another user"):
        open_session(path, directory=theirs)
    theirs.rmdir()
    theirs.symlink_to(home)
    with pytest.raises(DirectoryError, match="not a directory"):
        check(theirs)
    home.chmod(0o755)
    with pytest.raises(DirectoryError, match="other users may enter"):
        check(home)


def test_a_process_that_only_wraps_starts_no_agent_and_makes_nothing(path, home):
    code = "import sys, django, tracer; tracer.wrap(object(), record=sys.argv[1]); print(1)"
    with run(code, path, home=home) as process:
        assert process.communicate(timeout=20)[0] == "1\n"
    assert not agents_of(path)
    assert list(home.iterdir()) == []
    assert not path.exists()


@pytest.mark.parametrize("where", ["/dev/null", "/etc/passwd/site.tracer"])
def test_a_recording_that_cannot_be_written_is_one_line_and_the_application_works(home, where):
    code = "import sys, tracer; print(tracer.wrap(1, record=sys.argv[1]))"
    with run(code, where, home=home) as process:
        out, err = process.communicate(timeout=20)
    assert out == "1\n"
    assert where in err
    assert len(err.strip().splitlines()) == 1


def test_everything_is_its_users_alone(path, home):
    before = os.umask(0)
    try:
        with open_session(path) as session:
            writer = writer_in(session.directory)
            send(writer, 1)
            session.sync()
            modes = {
                entry.name: entry.stat().st_mode & 0o777
                for entry in [
                    path,
                    *path.parent.glob("site.tracer-*"),
                    *session.directory.iterdir(),
                ]
            }
            assert set(modes.values()) <= {0o600, 0o700}, modes
            assert session.directory.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_leftovers_of_dead_agents_are_put_away_and_nothing_else(path, home):
    dead = open_session(path.with_name("dead.tracer")).directory
    kill_agent("dead.tracer", guardian=True)
    young = open_session(path.with_name("young.tracer")).directory
    kill_agent("young.tracer", guardian=True)
    foreign, theirs = home / "tracer-foreign", home / "tracer-theirs"
    for other in (foreign, theirs):
        other.mkdir()
    (theirs / "agent.lock").touch()
    os.chown(theirs, 65_534, 65_534)
    with open_session(path.with_name("alive.tracer")) as alive:
        lived = open_session(path.with_name("lived.tracer")).directory
        writer = writer_in(lived)
        send(writer, 1)
        held = os.open(lived / "alive", os.O_RDONLY)
        from tracer.ring.locks import hold_shared

        assert hold_shared(held)
        kill_agent("lived.tracer", guardian=True)
        long_ago = time.time() - 60
        for one in (dead, foreign, theirs, alive.directory, lived):
            os.utime(one, (long_ago, long_ago))
        with open_session(path):
            assert wait_for(lambda: not dead.exists())
            time.sleep(0.1)
        assert young.exists()
        assert foreign.exists()
        assert theirs.exists()
        assert alive.directory.exists()
        assert lived.exists()
        os.close(held)


def test_what_the_dead_left_is_read_by_the_next_agent_in_their_directory(path):
    session = open_session(path)
    writer = writer_in(session.directory, 16 << 10)
    send(writer, 10)
    session.sync()
    kill_agent(path, guardian=True)
    send(writer, 200, 11)
    with open_session(path, directory=session.directory) as again:
        again.sync()
        send(writer, 10, 211)
        again.sync()
        found, dropped = recorded(path)
    assert len(found) + dropped == 220
    assert found == sorted(set(found))


def test_two_agents_never_serve_one_directory(path):
    with open_session(path) as session, pytest.raises(AgentError, match="another agent serves it"):
        open_session(path.with_name("other"), directory=session.directory)


def test_an_idle_agent_uses_next_to_nothing(path):
    with open_session(path) as session:
        send(writer_in(session.directory), 1)
        session.sync()
        (pid,) = agents_of(path)
        time.sleep(1.2)
        before = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        time.sleep(1)
        used = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) - before
    assert used < 20_000_000, "a generous bound: other load on the machine makes all slower"


def test_much_at_once_leaves_the_agent_small(path):
    with open_session(path) as session:
        writers = [writer_in(session.directory, 8 << 20) for _ in range(4)]
        for _ in range(2):
            for writer in writers:
                for _number in range(60):
                    writer.write([(2, os.urandom(40) * 3_000)], [])
            session.sync()
        (pid,) = agents_of(path)
        peak = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])
    assert peak < 80 * 1024
