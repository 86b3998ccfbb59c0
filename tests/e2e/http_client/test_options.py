# SPDX-License-Identifier: Apache-2.0
"""Options: limits, TLS, proxy; and what a reload does to what is there."""
import os
import signal
import ssl

import chimera as kit
import pytest
from upstream import Certificates, Fetch, Proxy, Upstream, detail_is, fetch, gauge, good, wait_gauge

ONE = {"server": {"workers": 1}, "t_fetch": {}}


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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(certificates):
    u = Upstream(context=certificates.context())
    yield u
    u.close()


def config(**options):
    return {**ONE, "http_client": {"connect_timeout": "60s", **options}}  # many handshakes take their time on a busy machine


def reload(c, **options):
    before = len(c.said("reloaded"))
    c.write(config(**options))
    c.signal(signal.SIGHUP)
    kit.wait_for(lambda: len(c.said("reloaded")) > before, lambda: "the reload; it said:\n" + c.stderr())


# ---- limits


def test_caps_are_options(chimera, upstream):
    c = chimera(config(max_header_bytes="2k", max_header_line="600", max_header_fields=5, max_body=1000))
    for fields, error in ((["X-A: " + "a" * 500] * 3, "ok"), (["X-A: " + "a" * 700], "too_large"), (["X-A: a"] * 4, "too_large"),
                          (["X-A: " + "a" * 590] * 3, "ok"), (["X-A: " + "a" * 590, "X-B: " + "a" * 590, "X-C: " + "a" * 590,
                                                              "X-D: " + "a" * 590], "too_large")):
        upstream.handler = lambda conn, *_, f=fields: conn.answer(b"ok", *f)
        assert fetch(c, upstream.url())["error_name"] == error, fields
    for n, error in ((1000, "ok"), (1001, "too_large")):
        upstream.handler = lambda conn, *_, k=n: conn.answer(b"x" * k)
        assert fetch(c, upstream.url())["error_name"] == error
        assert fetch(c, upstream.url(), sink=True)["error_name"] == error
        assert fetch(c, upstream.url(), max_body=2000)["error_name"] == "ok"


def test_a_gathered_body_that_does_not_fit_says_so(chimera, upstream):
    c = chimera(config())
    upstream.handler = lambda conn, *_: conn.answer(b"x" * (5 << 20))
    detail_is(fetch(c, upstream.url()), "too_large", "4 MiB.*sink")
    assert good(c, upstream.url(), sink=True)["body_n"] == 5 << 20

    def chunked(conn, *_):
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(80):
            conn.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        conn.send(b"0\r\n\r\n")
    upstream.handler = chunked
    detail_is(fetch(c, upstream.url()), "too_large", "4 MiB.*sink")
    assert good(c, upstream.url(), sink=True)["body_n"] == 80 << 16


def test_times_are_options_and_a_call_may_set_its_own(chimera, upstream):
    c = chimera(config(first_byte_timeout="50ms"))
    upstream.handler = upstream.hold
    r = fetch(c, upstream.url("/secret?key=secret"))
    detail_is(r, "timeout_first_byte", rf"^127\.0\.0\.1:{upstream.port} did not answer within 50 ms\.$")
    call = Fetch(c, upstream.url(), first_byte_timeout_ms=60000)
    upstream.wait_arrived(2)
    upstream.go.set()
    assert call.result()["error"] == 0
    reload(c, first_byte_timeout="1ms", idle_timeout="40ms")
    upstream.handler = lambda conn, *_: conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab") or upstream.hold(conn)
    upstream.go.clear()
    detail_is(fetch(c, upstream.url(), first_byte_timeout_ms=60000), "timeout_idle", "nothing for 40 ms")


@pytest.mark.parametrize("option, value, said", [
    ("proxy", "proxy:3128", r"proxy = proxy:3128: .*http://HOST:PORT"),
    ("proxy", "https://proxy:3128", "spoken to by http"),
    ("proxy", "http://u:p@proxy:3128", "user:password@"),
    ("proxy", "http://proxy:3128/path", "no path"),
    ("ca_file", "no-such.pem", r"no-such\.pem cannot be read: No such file"),
    ("client_key_file", "chimera.ini", "set client_cert_file too"),
    ("connect_timeout", "0ms", "1ms"),
    ("http2", "yes", "auto"),
])
def test_bad_options_are_told_before_the_start(chimera, option, value, said):
    c = chimera(config(**{option: value}), wait=False)
    assert c.wait_exit() == 78
    assert kit.re.search(said, c.stderr()), c.stderr()
    c.checked = True


# ---- TLS


def test_tls_with_an_authority_of_ones_own(chimera, certificates, secure):
    c = chimera(config(ca_file=certificates.ca))
    got = [good(c, secure.url(host=host), method="POST", body_bytes=n) for host in ("localhost", "127.0.0.1") for n in (0, 10, 2 << 20)]
    assert [r["reused"] for r in got] == [False, True, True] * 2
    assert len(secure.conns) == 2 and gauge(c, "idle_connections") == 2
    secure.conns[0].close()
    wait_gauge(c, "idle_connections", 1)
    secure.conns[1].close()
    wait_gauge(c, "connections", 0)


def test_a_hundred_tls_connections_at_once(chimera, certificates, secure):
    c = chimera(config(ca_file=certificates.ca))
    secure.handler = secure.hold
    calls = [Fetch(c, secure.url(), connect_timeout_ms=60000) for _ in range(100)]
    secure.wait_arrived(100)
    secure.handler = lambda conn, *_: conn.answer()
    secure.go.set()
    assert all(call.result()["error"] == 0 for call in calls)
    wait_gauge(c, "idle_connections", 100)
    assert good(c, secure.url())["reused"]
    reload(c, ca_file=certificates.ca, keepalive_timeout="100ms")
    good(c, secure.url())


def test_without_it_the_certificate_is_not_believed(chimera, secure):
    c = chimera(config())
    detail_is(fetch(c, secure.url()), "tls", rf"^TLS with 127\.0\.0\.1:{secure.port} failed: .*certificate.*ca_file")
    assert not secure.lines and c.metric("chimera_http_client_connects_total", result="tls") == 1


def test_a_server_can_ask_for_a_certificate(chimera, certificates):
    context = certificates.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 a refusal comes behind the handshake
    u = Upstream(context=context)
    cert, key = certificates.client()
    assert good(chimera(config(ca_file=certificates.ca, client_cert_file=cert, client_key_file=key)), u.url())
    assert fetch(chimera(config(ca_file=certificates.ca)), u.url())["error_name"] == "tls"
    u.close()


def test_the_least_version_of_tls_holds(chimera, certificates):
    context = certificates.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    u = Upstream(context=context)
    assert good(chimera(config(ca_file=certificates.ca)), u.url())
    assert fetch(chimera(config(ca_file=certificates.ca, tls_min="1.3")), u.url())["error_name"] == "tls"
    u.close()


# ---- proxy


def test_a_proxy_is_a_tunnel_for_both_schemes(chimera, certificates, upstream, secure):
    p = Proxy()
    c = chimera(config(proxy=f"http://127.0.0.1:{p.port}", ca_file=certificates.ca))
    for u in (upstream, secure):
        assert [good(c, u.url(host="localhost"), method="POST", body="x")["reused"] for _ in range(3)] == [False, True, True]
        assert len(u.conns) == 1
        assert "X-Proxy" not in str(good(c, u.url(host="localhost"))["fields"])
    assert p.tunnels == [("CONNECT", f"localhost:{upstream.port}"), ("CONNECT", f"localhost:{secure.port}")]
    p.refuse = "403 Forbidden"
    detail_is(fetch(c, upstream.url()), "connect", rf"^127\.0\.0\.1:{upstream.port} cannot be connected to through the proxy: .*403")
    p.close()


def test_a_proxy_by_name_that_is_not_there(chimera, upstream):
    c = chimera(config(proxy=f"http://localhost:{kit.free_port()}"))
    detail_is(fetch(c, upstream.url()), "connect", "through the proxy: .*refused")
    c = chimera(config(proxy="http://nosuch.invalid:3128"))
    detail_is(fetch(c, upstream.url()), "resolve", r"^The address of nosuch\.invalid cannot be found")
    assert not upstream.conns


# ---- addresses


def test_both_kinds_of_addresses_are_reached(chimera):
    for host, text in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
        u = Upstream(host=host)
        good(chimera(config()), u.url(host=text))
        assert u.lines == ["GET / HTTP/1.1"]
        u.close()


def test_link_local_addresses_can_be_let(chimera):
    """By way of a proxy that goes nowhere: no test shall reach such an address."""
    p = Proxy()
    p.refuse = "403 Forbidden"
    for allow, error, tunnels in (("no", "blocked", []), ("yes", "connect", [("CONNECT", "169.254.1.1:80")])):
        c = chimera(config(allow_link_local=allow, proxy=f"http://127.0.0.1:{p.port}"))
        assert fetch(c, "http://169.254.1.1/")["error_name"] == error
        assert p.tunnels == tunnels
    p.close()


# ---- reload


def test_times_and_caps_change_under_the_same_instance(chimera, upstream):
    c = chimera(config())
    good(c, upstream.url())
    upstream.handler = upstream.hold
    call = Fetch(c, upstream.url())
    upstream.wait_arrived(2)
    reload(c, connect_timeout="1s", max_body=100)
    upstream.go.set()
    assert call.result()["error"] == 0
    assert good(c, upstream.url())["reused"] and len(upstream.conns) == 1
    reload(c, max_body=1)
    assert fetch(c, upstream.url())["error_name"] == "too_large"


def test_warm_connections_go_to_a_successor_whose_tls_is_the_same(chimera, certificates, secure, upstream, tmp_path):
    ca = tmp_path / "ca.pem"
    text = open(certificates.ca, encoding="ascii").read()
    ca.write_text(text)
    c = chimera(config(ca_file=ca))
    good(c, secure.url())
    good(c, upstream.url())
    secure.handler = secure.hold
    call = Fetch(c, secure.url())
    secure.wait_arrived(2)
    for _ in range(3):  # the file is watched; its content is the same, so are the connections
        before = len(c.said("reloaded"))
        ca.write_text(text)
        os.utime(ca, (1, 1))
        c.signal(signal.SIGHUP)
        kit.wait_for(lambda n=before: len(c.said("reloaded")) > n, "the reload")
    assert good(c, upstream.url())["reused"]
    secure.go.set()
    assert call.result()["reused"]
    assert good(c, secure.url())["reused"] and len(secure.conns) == 1 and len(upstream.conns) == 1


def test_other_tls_means_other_connections_and_calls_end_on_the_old(chimera, certificates, secure, upstream):
    c = chimera(config(ca_file=certificates.ca))
    good(c, secure.url())
    good(c, upstream.url())
    secure.handler = secure.hold
    call = Fetch(c, secure.url())
    secure.wait_arrived(2)
    reload(c, ca_file=certificates.ca, tls_min="1.3")
    assert upstream.conns[0].closed.wait(kit.DEADLINE), "idle connections of the old are closed"
    assert not good(c, upstream.url())["reused"]
    secure.go.set()
    assert call.result()["error"] == 0
    assert secure.conns[0].closed.wait(kit.DEADLINE)
    assert not good(c, secure.url())["reused"]


def test_reloads_under_load_lose_nothing(chimera, certificates, secure):
    c = chimera(config(ca_file=certificates.ca))
    for i in range(6):
        calls = [Fetch(c, secure.url()) for _ in range(20)]
        reload(c, ca_file=certificates.ca, tls_min=("1.2", "1.3")[i % 2], keepalive_timeout=f"{i + 1}s")
        assert all(call.result()["error"] == 0 for call in calls)
    assert gauge(c, "running") == 0


def test_a_section_that_goes_lets_its_calls_end(chimera, upstream):
    c = chimera(config())
    good(c, upstream.url())
    upstream.handler = upstream.hold
    call = Fetch(c, upstream.url())
    upstream.wait_arrived(2)
    c.write({"server": {"workers": 1}})
    c.signal(signal.SIGHUP)
    kit.wait_for(lambda: c.said("reloaded"), "the reload")
    upstream.go.set()
    assert call.result()["error"] == 0
    assert upstream.conns[0].closed.wait(kit.DEADLINE)
