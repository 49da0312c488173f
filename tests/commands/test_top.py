"""`tracer top` in a real terminal, beside a real server."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

from tests.support.server import SERVERS, Server, environment, tracer
from tracer.agent import live
from tracer.recording.file import read_meta

ROWS, COLUMNS = 40, 140
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """What a server records that has answered two routes, and answers on."""
    folder = tmp_path_factory.mktemp("top")
    path = folder / "site.tracer"
    command = ("tracer", "run", "--record", str(path), "--", sys.executable, "-m")
    command += SERVERS["uvicorn-h11-asyncio"]
    env = environment(DEMO_DATABASE=str(folder / "demo.sqlite3"))
    with Server(command, env, folder / "log") as server:
        for number in range(400):
            assert server.ask("/test/" if number % 4 else "/async/")[0] == 200
        address = read_meta(path)["socket"]
        deadline = time.monotonic() + 15
        while len(live.ask(address)["routes"]) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        yield path


class Terminal:
    """`tracer top` in a pseudo-terminal: what is on its screen, and keys for it."""

    def __init__(self, *arguments):
        self.master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(terminal)
        self.terminal = terminal
        env = environment(TERM="xterm-256color")
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            env.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tracer", "top", *map(str, arguments)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=env,
            start_new_session=True,
        )
        self.raw = ""

    def press(self, keys):
        os.write(self.master, keys.encode())

    def until(self, *words, seconds=30):
        """Read until all words are on a screen that was drawn since now."""
        self.raw = ""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                self.raw += os.read(self.master, 1 << 16).decode(errors="replace")
            if all(word in self.screen for word in words):
                return self.screen
        pytest.fail(f"{words} never came:\n{self.screen}")
        return None

    @property
    def screen(self):
        """The last whole picture."""
        pictures = [CONTROL.sub("", one) for one in self.raw.split("\x1b[H") if "q quit" in one]
        return pictures[-1] if pictures else ""

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        os.close(self.master)
        os.close(self.terminal)


@pytest.fixture
def terminal(recording, ctrl_c):
    found = Terminal(recording, "--interval", "0.2")
    yield found
    found.end()


def routes_on(screen):
    return re.findall(r"^(test/|async/) ", screen.replace("\r", ""), re.MULTILINE)


def test_it_is_live_sorted_filtered_frozen_and_leaves_the_terminal_as_it_was(terminal, recording):
    terminal.until("by layer ▾")  # what is typed before it listens is lost
    terminal.press("ww")  # 10 s, 60 s, all
    screen = terminal.until("test/", "async/", "since it began", "hand-off", "by layer ▾")
    assert "1 worker" in screen
    assert "0 dropped" in screen
    assert routes_on(screen)[0] == "test/", "it took most of the time"
    assert re.search(r"test/ .* 1[67]  ", screen), "its hand-offs"
    terminal.press("h")
    terminal.until("hand-offs ▾", "by hand-offs")
    terminal.press("/asy")
    screen = terminal.until("route: asy", "1 of 2 routes match")
    assert routes_on(screen) == ["async/"]
    terminal.press("\x7f\x7f\x7fq")
    assert "0 of 2 routes match" in terminal.until("route: q▏"), "a key is a letter there"
    terminal.press("\x1b")
    terminal.until("test/", "async/")
    terminal.press(" ")
    terminal.until("FROZEN")
    terminal.press(" ")
    terminal.until("since it began")
    terminal.press("q")
    assert terminal.process.wait(5) == 0
    assert termios.tcgetattr(terminal.terminal) == terminal.before


def test_ctrl_c_ends_it_without_a_word_and_restores_the_terminal(terminal):
    terminal.until("requests/s")
    terminal.process.send_signal(2)
    assert terminal.process.wait(5) == 0
    assert termios.tcgetattr(terminal.terminal) == terminal.before
    assert "Traceback" not in terminal.raw


def test_without_a_terminal_it_is_printed_once(recording):
    done = tracer("top", recording)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "test/" in done.stdout
    assert "view" in done.stdout


def test_a_server_that_nobody_traces_is_one_line_and_exit_2(recording, tmp_path):
    done = tracer("top", tmp_path / "other.tracer")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"Error: {tmp_path / 'other.tracer'}: no agent of yours is writing it"
    )
    alone = tracer("top", env=environment(TRACER_RING_HOME=str(tmp_path)))
    assert alone.returncode == 2
    assert "no server is traced right now" in alone.stderr
