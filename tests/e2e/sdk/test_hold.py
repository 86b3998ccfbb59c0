# SPDX-License-Identifier: Apache-2.0
"""END holds answers, and what a server has to pass on before it ends: the plugin t_hold."""
import time

import pytest

import chimera as kit

CONFIG = {"t_hold": {}}


def test_an_answer_leaves_when_it_is_let_go(server):
    began = time.monotonic()
    assert server.get("/hold?ms=200").text == "held"
    assert time.monotonic() - began >= 0.2
    assert server.get("/hold").text == "held"


def test_a_stream_shows_its_end_when_it_is_let_go(server):
    def early():
        """Was the rest here before the end could be? This test may be late with its looking."""
        with server.connect() as c:
            began = time.monotonic()
            c.send(kit.request_bytes("GET", "/hold/stream?ms=200"))
            c.head()
            assert c.exactly(16) == b"3\r\none\r\n3\r\ntwo\r\n"
            rest = time.monotonic() - began
            assert c.exactly(5) == b"0\r\n\r\n"
            assert time.monotonic() - began >= 0.2
            return rest < 0.2
    kit.wait_for(early, "a stream whose pieces come before its end")


@pytest.mark.parametrize("path", ["/hold", "/hold/stream"])
def test_a_promise_that_fails_cuts_the_answer(server, path):
    with pytest.raises((kit.Closed, kit.BadAnswer)):
        server.get(path + "?ms=10&ok=0")
    assert server.get("/hold").text == "held"


def test_pipelined_requests_wait_for_the_one_before_them(server):
    with server.connect() as c:
        c.send(kit.request_bytes("GET", "/hold?ms=50") * 3 + kit.request_bytes("GET", "/hold/last"))
        assert [c.response().text for _ in range(4)] == ["held"] * 3 + ["ledger none, cost unknown"]


def test_a_route_names_its_ledger_and_a_cost_is_unknown_at_first(server):
    server.get("/hold/stream")
    assert server.get("/hold/last").text == "ledger inference, cost unknown"
    server.get("/hold")
    assert server.get("/hold/last").text == "ledger none, cost unknown"


def test_the_server_asks_until_all_is_drained(chimera):
    c = chimera({"t_hold": {"drain": 3}})
    c.stop()
    assert c.said("drained after 3 questions")


def test_the_server_does_not_wait_for_ever_for_what_is_not_drained(chimera):
    c = chimera({"server": {"drain_delay": "0s", "drain_timeout": "1s"}, "t_hold": {"drain": 1000000000}})
    c.stop()
    assert c.said("t_hold has not passed on all that it has")
