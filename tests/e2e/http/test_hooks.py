# SPDX-License-Identifier: Apache-2.0
"""Hooks: their order, what they return, and END exactly once."""
import chimera as kit
import pytest

CONFIG = {"t_hooks": {}, "t_hooks:late": {}, "t_echo": {}, "trace": {}}
PHASES = ["headers", "auth", "limit", "body", "content", "response"]


def order(r):
    return r.header("X-Order").split()


def both(*phases):
    return [f"{i}:{p}" for p in phases for i in ("t_hooks", "late")]


def ends(server):
    return server.metric("t_hooks_run_total", instance="t_hooks", phase="end")


def test_phases_run_in_order_and_instances_in_config_order(server):
    for r in (server.get("/"), server.request("POST", "/", b"x"), server.request("POST", "/", [b"x"])):
        assert order(r) == both(*PHASES)


def test_no_route_runs_headers_and_response_alone(server):
    assert order(server.get("/nowhere"))[:2] == both("headers")
    assert "t_hooks:auth" not in order(server.get("/nowhere"))


@pytest.mark.parametrize("phase", PHASES[:5])
def test_done_in_a_hook_answers_and_skips_the_rest(server, phase):
    with server.connect() as c:
        r = c.ask("POST", "/", b"body", {"X-Refuse": "t_hooks:" + phase})
        r.problem(403, "forbidden")
        ran = order(r)
        assert f"late:{phase}" not in ran and ran[-1].endswith(":response")
        assert c.ask("GET", "/").status == 200


@pytest.mark.parametrize("phase", PHASES[:5])
def test_error_in_a_hook_is_500_counted_and_named(server, phase):
    errors = server.metric("chimera_hook_errors_total", plugin="late")
    r = server.request("POST", "/", b"body", {"X-Fail": "late:" + phase})
    p = r.problem(500, "internal_error")
    line = server.wait_said("returned ERROR", req_id=p["req_id"])
    assert line["plugin"] == "late" and phase in line["msg"]
    assert server.metric("chimera_hook_errors_total", plugin="late") == errors + 1


def test_error_in_a_response_hook_does_not_harm_the_answer(server):
    r = server.get("/", headers={"X-Fail": "response"})
    assert r.status == 200


@pytest.mark.parametrize("phase", PHASES[:5])
def test_a_hook_that_waits_goes_on_where_it_was(server, phase):
    with server.connect() as c:
        for _ in range(3):
            r = c.ask("POST", "/", b"body", {"X-Wait": phase})
            assert (r.status, r.body) == (200, b"body")
            assert order(r) == both(*PHASES)


def test_end_runs_once_whatever_happened(server):
    before = ends(server)
    requests = 0
    for headers in ({}, {"X-Fail": "auth"}, {"X-Refuse": "limit"}, {"X-Wait": "body"}):
        server.request("POST", "/", b"x", headers)
        requests += 1
    server.get("/nowhere")
    server.request("DELETE", "/")
    requests += 2
    with server.connect() as c:  # gone while its hook waits
        c.send(kit.request_bytes("GET", "/", headers={"X-Wait": "auth"}))
        c.abort()
    requests += 1
    scrapes = [0]

    def counted():
        scrapes[0] += 1
        return ends(server) - before >= requests + scrapes[0]
    kit.wait_for(counted, "END of every request")
    assert ends(server) - before == requests + scrapes[0] + 1


def test_requests_that_are_no_requests_have_no_end(server):
    before = ends(server)
    for _ in range(5):
        server.one(b"nonsense\r\n\r\n")
    assert ends(server) - before == 1  # the scrape before
