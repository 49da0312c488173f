"""gunicorn's `--user`: its workers give up root and are recorded all the same."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.chaos.harm import Chaos
from tests.support.server import GUNICORN, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_workers_of_another_user_are_recorded_and_only_that_user_sees_in(tmp_path):
    nobody = pwd.getpwnam("nobody")
    words = (*GUNICORN, "--workers", "2", "--preload", "--user", "nobody")
    with Chaos(tmp_path, (*words, "demo_site.wsgi")) as chaos:
        assert chaos.ask(40) == 0
        assert wait_for(lambda: len(chaos.rings()) == 2)
        workers = [int(path.name.split("-")[0]) for path in chaos.rings()]
        assert all(Path(f"/proc/{pid}").stat().st_uid == nobody.pw_uid for pid in workers)
        assert chaos.directory.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in chaos.rings()} == {0o600}
        ended = chaos.end()
        assert ended == (40, 0), chaos.server.output
