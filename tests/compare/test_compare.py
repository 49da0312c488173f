from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from tracer.commands.compare import compare
from tracer.compare.options import Options, experiments_of

GOOD = ["--a", "uvicorn a:b", "--b", "uvicorn a:b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "--rounds"),
        (["--requests", "-1"], "--requests"),
        (["--concurrency", "0"], "--concurrency"),
        (["--rate", "0"], "--rate"),
        (["--rate", "many"], "--rate"),
        (["--connection", "maybe"], "--connection"),
        (["--nonsense"], "--nonsense"),
        (["--rate", "5", "--concurrency", "2"], "exclude each other"),
        (["--a", "uvicorn a:b"], "nothing to compare 'a' with"),
        (["--config", "uvicorn a:b"], "is not NAME=CMD"),
        (["--config", "a/b=uvicorn a:b"], "is not NAME=CMD"),
        ([*GOOD, "--config", "a=uvicorn a:b"], "two configurations are named 'a'"),
        ([*GOOD, "--config", "c=my-server"], "no port can be given to 'my-server'"),
        ([*GOOD, "--config", "c=uvicorn 'a"], "can't be read"),
        ([*GOOD, "--header", "nonsense"], "is not 'Name: value'"),
        ([*GOOD, "--header", "X: a\nb"], "a header's value is invalid"),
        ([*GOOD, "--method", "G E T"], "is no HTTP method"),
        ([*GOOD, "--json", "/dev/null/x.json"], "can't be written"),
        ([*GOOD, "--flame", "--flame-source", "guess"], "--flame-source: 'guess'"),
        ([*GOOD, "--flame-interval", "1ms"], "no --flame says when"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, said):
    result = CliRunner().invoke(compare, arguments)
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert result.stdout == ""


def test_a_server_that_ends_at_its_start_shows_its_last_lines(ends):
    bad = f"{sys.executable} -c \"raise RuntimeError('out of luck')\" {{port}}"
    result = CliRunner().invoke(compare, ["--a", bad, "--b", bad])
    assert result.exit_code == 2
    first, *rest = result.stderr.splitlines()
    assert first.startswith("tracer: ")
    assert first.endswith("ended at its start, exit code 1: RuntimeError: out of luck")
    assert rest[0] == "the server's last lines:"
    assert rest[-1] == "  RuntimeError: out of luck"
    assert result.stdout == ""
    assert ends("out of luck")


def test_a_program_that_is_not_there_is_exit_2():
    result = CliRunner().invoke(compare, ["--a", "none-such {port}", "--b", "x {port}"])
    assert result.exit_code == 2
    assert "there is no program 'none-such'" in result.stderr


def test_without_configurations_the_demo_runs_twice():
    first, second = experiments_of(Options())
    assert [one.name for one in first.configurations] == ["wsgi", "asgi"]
    assert first.load.targets == second.load.targets == ("/test/",)
    assert (first.load.concurrency, second.load.concurrency) == (1, 10)
    assert first.suffix != second.suffix
    assert all(sys.executable in one.command for one in first.configurations)
    assert all(sys.executable not in one.shown for one in first.configurations)


@pytest.mark.parametrize("given", [{"concurrency": 4}, {"rate": 50.0}])
def test_a_given_load_is_the_only_one(given):
    assert len(experiments_of(Options(**given))) == 1


def test_options_become_the_load():
    (one,) = experiments_of(
        Options(
            a="uvicorn a:b",
            config=("new=DEBUG=1 uvicorn a:b --x=y",),
            path=("a b", "/c?d=é"),
            header=("Host: example.org", "X-A:1"),
            data="k=v",
            requests=7,
            rounds=2,
            connection="close",
        )
    )
    assert [c.name for c in one.configurations] == ["a", "new"]
    assert one.configurations[1].command == "DEBUG=1 uvicorn a:b --x=y"
    assert one.load.targets == ("/a%20b", "/c?d=%C3%A9")
    assert one.load.method == "POST"
    assert one.load.headers[:2] == (("Host", "example.org"), ("X-A", "1"))
    assert one.load.headers[2][0] == "Content-Type"
    assert one.load.body == b"k=v"
    assert (one.load.requests, one.rounds, one.load.max_seconds) == (7, 2, None)
