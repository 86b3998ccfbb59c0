# SPDX-License-Identifier: Apache-2.0
"""Request ids and W3C trace context (FAULTS P15)."""
import re

import pytest

CONFIG = {"trace": {"trust_incoming": "always"}, "t_echo": {}, "log": {"access": "all"}}
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def parts(r):
    m = PARENT.fullmatch(r.header("traceparent"))
    assert m and m[1] != "0" * 32 and m[2] != "0" * 16, r.header("traceparent")
    return m[1], m[2], m[3]


def test_every_answer_has_an_id_and_a_trace_of_its_own(server):
    seen = set()
    for target in ("/", "/", "/nowhere"):
        r = server.get(target)
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", r.header("X-Request-Id"))
        seen |= {r.header("X-Request-Id"), parts(r)[0]}
    assert len(seen) == 6


def test_a_trace_is_gone_on_with(server):
    for flags in ("00", "01"):
        trace, span, sampled = parts(server.get("/", headers={"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}))
        assert (trace, sampled) == (TRACE, flags) and span != SPAN


def test_ids_stand_in_the_log(server):
    r = server.get("/", headers={"X-Request-Id": "mine-1", "traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert r.header("X-Request-Id") == "mine-1"
    line = server.wait_said("request", req_id="mine-1")
    assert line["trace_id"] == TRACE


@pytest.mark.parametrize("value", [
    "", "00", f"00-{TRACE}-{SPAN}", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01-extra", f"00-{TRACE}-{SPAN}-zz", f"00_{TRACE}_{SPAN}_01", f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}x-{SPAN}-01", "x" * 10240,
    f"00-{TRACE}-{SPAN}-01," + "x" * 10240,
])
def test_p15_a_malformed_traceparent_begins_a_new_trace(server, value):
    assert parts(server.get("/", headers={"traceparent": value}))[0] != TRACE


def test_p15_two_traceparents_begin_a_new_trace(server):
    one = ("traceparent", f"00-{TRACE}-{SPAN}-01")
    assert parts(server.get("/", headers=[one, one]))[0] != TRACE


def test_p15_a_future_version_is_read_by_its_first_55_characters(server):
    assert parts(server.get("/", headers={"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes"}))[0] == TRACE


def test_nobody_is_believed_by_default(chimera):
    c = chimera({"trace": {}, "t_echo": {}})
    r = c.get("/", headers={"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert r.header("X-Request-Id") != "mine" and parts(r)[0] != TRACE


def test_trusted_proxies_are_believed_and_forward_the_client(chimera):
    c = chimera({"trace": {}, "t_echo": {}, "log": {"access": "all"}, "server": {"trusted_proxies": "127.0.0.0/8"}})
    r = c.get("/", headers={"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-{SPAN}-01", "X-Forwarded-For": "6.6.6.6, 203.0.113.7"})
    assert r.header("X-Request-Id") == "mine" and parts(r)[0] == TRACE
    assert c.wait_said("request", req_id="mine")["client.address"] == "203.0.113.7"
