from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tracer.compare.address import CommandError, free_ports, parse_command
from tracer.compare.redact import redact
from tracer.compare.servers import Server, ServerError

SILENT = "sh -c 'sleep 30; : {port}'"


def test_a_server_is_started_awaited_and_ended(command, ends):
    with Server(command) as server:
        assert server.wait_ready("/404") == 404
        assert server.alive
        assert server.last_lines() == ("about to listen",)
    assert not server.alive
    assert server.last_lines() == ("about to listen",)
    assert ends(command.split()[1])
    server.stop()


def test_an_early_exit_is_told_with_its_last_lines():
    code = "print('first'); raise ValueError('no such thing')"
    with Server(f'{sys.executable} -c "{code}" {{port}}') as server:
        with pytest.raises(
            ServerError, match="ended at its start, exit code 1: ValueError"
        ) as info:
            server.wait_ready()
        assert info.value.lines[-1] == "ValueError: no such thing"
        assert "first" in info.value.lines


def test_a_port_that_is_taken_is_said_to_be(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} is already taken"):
            Server(command, port=port)
        fixed = f"{command.replace('{port}', str(port))} {{port}}"
        with Server(fixed) as server, pytest.raises(ServerError, match="port is already taken"):
            server.wait_ready()


def test_a_server_that_never_answers_is_given_up(command):
    with Server(command) as server:
        begin = time.monotonic()
        with pytest.raises(ServerError, match="did not answer within 1 s"):
            server.wait_ready("/hang", timeout_s=1)
        assert time.monotonic() - begin < 3


def test_a_server_that_never_listens_is_given_up():
    with Server(SILENT) as server, pytest.raises(ServerError, match="did not listen on port"):
        server.wait_ready(timeout_s=0.3)


def test_something_else_than_http_is_refused(serve):
    port = serve(lambda sock, _head, _number: sock.sendall(b"SSH-2.0-x\r\n")).port
    with Server(SILENT) as server:
        server.port = port
        with pytest.raises(ServerError, match="does not speak HTTP"):
            server.wait_ready(timeout_s=5)


def test_a_program_that_is_not_there():
    with pytest.raises(ServerError, match="there is no program 'no-such-server'"):
        Server("no-such-server {port}")


def test_stubborn_servers_and_their_children_are_killed(monkeypatch, ends, tmp_path):
    monkeypatch.setattr("tracer.compare.servers._TERMINATE_S", 0.3)
    mark = tmp_path.name
    script = tmp_path / "stubborn.sh"
    script.write_text(f"trap '' TERM\nsh -c \"trap '' TERM; sleep 60; : {mark}\" &\nsleep 60\n")
    server = Server(f"sh {script} {{port}}")
    time.sleep(0.2)
    server.stop()
    assert ends(str(script), 2)
    assert ends(mark, 2)


def test_nothing_outlives_a_parent_that_was_killed(command, ends):
    code = (
        "import time\nfrom tracer.compare.servers import Server\n"
        f"server = Server({command!r})\nserver.wait_ready()\nprint('up', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
    assert ends(command.split()[1].replace("{port}", ""))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gunicorn a.wsgi", "gunicorn a.wsgi --bind 127.0.0.1:8123"),
        ("gunicorn a.wsgi -b 0:80 -w 2", "gunicorn a.wsgi -w 2 --bind 127.0.0.1:8123"),
        ("gunicorn --bind=:80 a", "gunicorn a --bind 127.0.0.1:8123"),
        ("/x/bin/gunicorn a", "/x/bin/gunicorn a --bind 127.0.0.1:8123"),
        ("python -m uvicorn a:b", "python -m uvicorn a:b --host 127.0.0.1 --port 8123"),
        ("uvicorn a:b --port 80 --host x", "uvicorn a:b --host 127.0.0.1 --port 8123"),
        ("daphne -p 80 a:b", "daphne a:b -b 127.0.0.1 -p 8123"),
        ("hypercorn a:b", "hypercorn a:b --bind 127.0.0.1:8123"),
        ("python manage.py runserver", "python manage.py runserver 127.0.0.1:8123"),
        ("django-admin runserver 8000 -v 0", "django-admin runserver -v 0 127.0.0.1:8123"),
        ("x --on {bind} {other}", "x --on 127.0.0.1:8123 {other}"),
        ("gunicorn a -b :{port}", "gunicorn a -b :8123"),
    ],
)
def test_a_server_is_given_its_address_in_its_own_way(command, expected):
    assert " ".join(parse_command(command, 8123).arguments) == expected


def test_variables_before_a_command_are_its_environment():
    invocation = parse_command("A=1 B='x y' uvicorn a:b", 1)
    assert invocation.variables == {"A": "1", "B": "x y"}
    assert invocation.arguments[0] == "uvicorn"


@pytest.mark.parametrize("command", ["", "A=1", "uvicorn 'a", "my-server --fast"])
def test_commands_that_can_not_be_used(command):
    with pytest.raises(CommandError):
        parse_command(command, 1)


def test_free_ports_differ():
    assert len(set(free_ports(50))) == 50


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("x --password=hunter2", "x --password=***"),
        ("x --db-password 'hun ter'", "x --db-password ***"),
        ("x --api-token abc --workers 4", "x --api-token *** --workers 4"),
        ("SECRET_KEY='a b' x", "SECRET_KEY=*** x"),
        ("U=postgres://me:pw@host/db x", "U=*** x"),
        ("x --db postgres://me:pw@host/db", "x --db postgres://***@host/db"),
        ("x --dsn https://0123abc@sentry.example/1", "x --dsn https://***@sentry.example/1"),
        ("env PIN=1234 gunicorn a", "env PIN=*** gunicorn a"),
        ("env DJANGO_SETTINGS_MODULE=a.b x", "env DJANGO_SETTINGS_MODULE=a.b x"),
        ("x http://h/?token=abc&a=1", "x http://h/?token=***&a=1"),
        ("gunicorn a --workers 4 --keep-alive 5", "gunicorn a --workers 4 --keep-alive 5"),
        ("x --keyfile k.pem", "x --keyfile k.pem"),
    ],
)
def test_secrets_are_not_shown(command, expected):
    assert redact(command) == expected
