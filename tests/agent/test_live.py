from __future__ import annotations

import sys
import time

import pytest

from tests.support.server import SERVERS, Server, environment, wait_for
from tracer.agent import live
from tracer.model.layers import LAYERS
from tracer.recording.file import read_meta


def seen(found):
    """What came after the last answer may still be under way."""
    return sum(route["requests"] for route in found["routes"]) + found["lag"]


def test_another_process_sees_layers_and_routes_while_the_server_runs(tmp_path):
    recording = tmp_path / "site.tracer"
    command = ("tracer", "run", "--record", recording, "--", sys.executable, "-m")
    command += SERVERS["uvicorn-h11-asyncio"]
    with Server(tuple(map(str, command)), environment(), tmp_path / "log") as server:
        for _ in range(300):
            assert server.ask("/async/")[0] == 200
        address = read_meta(recording)["socket"]
        assert wait_for(lambda: live.ask(address)["routes"], 20)
        assert wait_for(lambda: seen(live.ask(address)) == 300)
        found = live.ask(address)
        assert found["schema"] == "tracer.live/1"
        (route,) = found["routes"]
        assert (route["route"], route["interface"], route["weight"]) == ("async/", "asgi", 1.0)
        assert 0 < route["requests"] <= 300
        assert route["requests"] + found["lag"] == 300
        assert list(route["layers"]) == list(LAYERS)
        for spread in (route["latency_ns"], *route["layers"].values()):
            assert sum(times for _, times in spread["buckets"]) == route["requests"]
        whole = sum(spread["sum_ns"] for spread in route["layers"].values())
        assert whole == route["latency_ns"]["sum_ns"]
        time.sleep(0.1)
        assert live.ask(address)["at_ns"] > found["at_ns"]


def test_where_no_agent_is_it_says_so_in_one_line(tmp_path):
    with pytest.raises(live.LiveError, match="doesn't answer"):
        live.ask(tmp_path / "nobody.sock")
