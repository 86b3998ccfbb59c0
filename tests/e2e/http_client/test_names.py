# SPDX-License-Identifier: Apache-2.0
"""Names (FAULTS U10, U12): asked for off the loop, once for all that wait; several addresses; addresses that must not be reached."""
import os
import shutil

import chimera as kit
import pytest
from upstream import Fetch, Upstream, detail_is, fetch, good

ONE = {"server": {"workers": 1}, "t_fetch": {}, "t_echo": {}}
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "t_fetch"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.close()


class Names:
    def __init__(self, folder):
        if not shutil.which("gcc"):
            pytest.skip("there is no gcc to build names.c with")
        if kit.SANITIZERS:
            pytest.skip("a sanitizer wants to be loaded first")
        self.log, self.go, so = folder / "names", folder / "names.go", folder / "names.so"
        kit.subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(so), os.path.join(HERE, "names.c"), "-ldl"], check=True,
                           timeout=kit.DEADLINE)
        self.prefix = ["env", f"LD_PRELOAD={so}", f"NAMES={self.log}"]

    def asked(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def names(tmp_path):
    return Names(tmp_path)


def start(chimera, names, **options):
    return chimera({**ONE, "http_client": options}, prefix=names.prefix)


def test_the_next_address_is_tried_when_one_refuses(chimera, names, upstream):
    c = start(chimera, names)
    good(c, upstream.url(host="a127-0-0-9.a127-0-0-1.test"))
    r = fetch(c, upstream.url(host="a127-0-0-9.a127-0-0-8.test"))
    detail_is(r, "connect", r"a127-0-0-8\.test:\d+ cannot be connected to: .*refused")


def test_a_black_hole_costs_a_share_of_the_time(chimera, names, upstream):
    hole = Upstream(host="127.0.0.7")
    hole.sock.close()
    full = kit.socket.create_server(("127.0.0.7", upstream.port), backlog=0)
    fillers = []
    while len(fillers) < 8:  # until the queue is full nothing is dropped
        s = kit.socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.7", upstream.port))
        fillers.append(s)
    c = start(chimera, names)
    good(c, upstream.url(host="a127-0-0-7.a127-0-0-1.test"), connect_timeout_ms=4000)
    for s in (full, *fillers):
        s.close()


def test_one_question_serves_all_that_wait_and_is_remembered_a_while(chimera, names, upstream):
    c = start(chimera, names)
    upstream.handler = upstream.hold
    calls = [Fetch(c, upstream.url(host="slow300.a127-0-0-1.test")) for _ in range(20)]
    upstream.wait_arrived(20)
    upstream.go.set()
    assert all(call.result()["error"] == 0 for call in calls)
    assert len(names.asked()) == 1 and len(upstream.conns) == 20


def test_a_resolver_that_hangs_holds_nobody_else_up(chimera, names, upstream):
    c = start(chimera, names)
    hanging = [Fetch(c, upstream.url(host=f"held.a127-0-0-{i}.test"), connect_timeout_ms=150) for i in range(1, 3)]
    for _ in range(20):
        good(c, upstream.url())
        assert c.get("/echo/x").status == 200
    for call in hanging:
        detail_is(call.result(), "timeout_connect", "did not let us connect in time")
    cancelled = Fetch(c, upstream.url(host="held.a127-0-0-3.test"), cancel_after_ms=20).result()
    assert cancelled["error_name"] == "cancelled"
    names.go.write_text("")  # until now: nobody waits for the resolver
    c.stop()  # it waits for it: what hangs holds nothing of a call's


def test_names_that_fail_say_why(chimera, names, upstream):
    c = start(chimera, names)
    r = fetch(c, upstream.url(host="none.test"))
    detail_is(r, "resolve", r"^The address of none\.test:\d+ cannot be found: Name or service not known")
    detail_is(fetch(c, upstream.url(host="again.test")), "resolve", "Temporary failure")
    assert c.metric("chimera_http_client_connects_total", result="resolve") == 2


def test_a_name_that_points_to_a_link_local_address_is_blocked(chimera, names, upstream):
    c = start(chimera, names)
    for host in ("a169-254-169-254.test", "a169-254-169-254.a169-254-0-1.test"):
        detail_is(fetch(c, upstream.url(host=host)), "blocked", "link-local.*allow_link_local")
    good(c, upstream.url(host="a169-254-169-254.a127-0-0-1.test"))
    assert c.metric("chimera_http_client_connects_total", result="blocked") == 2


def test_a_name_that_moves_to_a_link_local_address_is_blocked_there(chimera, names, upstream):
    c = start(chimera, names)
    url = upstream.url(host="flip.a127-0-0-1.a169-254-1-1.test")
    upstream.handler = lambda conn, *_: conn.answer(b"ok", "Connection: close")
    good(c, url)
    good(c, url)  # remembered: the same address, whatever the name says by now
    assert len(names.asked()) == 1
    upstream.close()
    assert fetch(c, url)["error_name"] == "connect"
    assert fetch(c, url)["error_name"] == "blocked"  # it did not work: asked again
    assert len(names.asked()) == 2
