# SPDX-License-Identifier: Apache-2.0
"""Methods and targets (FAULTS H14-H17)."""
import pytest

CONFIG = {"t_echo": {}}


def ask(server, line, host=b"test", **kw):
    return server.one(line + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", **kw)


def test_h14_an_absolute_target_is_taken(server):
    r = ask(server, b"GET http://test/echo/a%20b?q=1", closes=False)
    assert (r.status, r.header("X-Path"), r.header("X-Query")) == (200, "/echo/a b", "q=1")
    assert ask(server, b"GET http://test").status == 200
    assert ask(server, b"GET http://TEST/", closes=False).status == 200


def test_h14_an_absolute_target_for_another_host_is_400(server):
    ask(server, b"GET http://other/", closes=True).problem(400, "bad_request")
    ask(server, b"GET http://test:81/", closes=True).problem(400, "bad_request")


@pytest.mark.parametrize("target", [b"ftp://test/", b"http:///", b"http://u@test/", b"//", b"test", b"http://", b"?q", b"a/b"])
def test_h14_another_form_of_target_is_no_route(server, target):
    assert ask(server, b"GET " + target).status in (400, 404, 200 if target == b"//" else 400)


def test_h15_a_star_is_for_options_alone(server):
    r = ask(server, b"OPTIONS *", closes=False)
    assert r.status == 204 and "GET" in r.header("Allow")
    assert ask(server, b"GET *").status == 400
    assert ask(server, b"POST *").status == 400


@pytest.mark.parametrize("line", [b"CONNECT test:443", b"TRACE /", b"DELETE /", b"PUT /", b"PATCH /"])
def test_h15_a_method_that_a_path_has_not_is_405_with_allow(server, line):
    r = ask(server, line, host=b"test:443" if line.startswith(b"CONNECT") else b"test")
    r.problem(405, "method_not_allowed")
    assert "GET" in r.header("Allow")


@pytest.mark.parametrize("method", [b"get", b"Get", b"FOOBAR", b"M-SEARCH", b"X" * 32])
def test_h15_an_unknown_method_is_501(server, method):
    ask(server, method + b" /").problem(501, "not_implemented")


@pytest.mark.parametrize("method", [b"X" * 33, b"G(T", b"G T", b"G\xc3\x84T", b"G,T", b""])
def test_h15_a_method_that_is_no_token_or_too_long_is_400(server, method):
    assert ask(server, method + b" /", closes=True).status == 400


@pytest.mark.parametrize("target", [b"/a#b", b"/#", b"/a b", b"/\xc3\xa4", b"/\xff", b"/a\\b", b"/%c0%af", b"/%e0%80%af",
    b"/%f0%80%80%af", b"/%ff", b"/%00", b"/a%00b",
                                    b"/%0d%0aX-A:%20b", b"/%0a", b"/%", b"/%4", b"/%zz", b"/%4g"])
def test_h16_a_target_that_is_no_path_is_400(server, target):
    assert ask(server, b"GET /echo" + target, closes=True).status == 400


def test_h16_a_target_is_decoded_once(server):
    r = ask(server, b"GET /echo/%2541%252e%252e%25zz", closes=False)
    assert (r.status, r.header("X-Rest")) == (200, "%41%2e%2e%zz")


def test_h16_utf_8_in_escapes_is_decoded(server):
    r = ask(server, b"GET /echo/%C3%A4", closes=False)
    assert (r.status, r.header("X-Rest").encode("latin-1")) == (200, "ä".encode())


@pytest.mark.parametrize("target,path", [
    (b"/x/../echo/a", "/echo/a"), (b"/x/%2e%2e/echo/a", "/echo/a"), (b"/x/%2E./echo/a", "/echo/a"), (b"/./echo/./a", "/echo/a"),
    (b"//echo//a", "/echo/a"),
    (b"/echo/a/b/..", "/echo/a/"), (b"/../../echo/a", "/echo/a"), (b"/echo/a/", "/echo/a/"), (b"/echo/a%3fb", "/echo/a?b"),
])
def test_h17_a_route_is_found_by_the_normalised_path(server, target, path):
    r = ask(server, b"GET " + target, closes=None)
    if r.status == 400:  # a path that climbs above the root may be refused
        assert target == b"/../../echo/a"
        return
    assert (r.status, r.header("X-Path")) == (200, path)


@pytest.mark.parametrize("target", [b"/../../../../etc/passwd", b"/echo/../../../../etc/passwd", b"/..%2f..%2f..%2fetc/passwd",
    b"/%2e%2e/%2e%2e/etc/passwd"])
def test_h17_a_path_reaches_no_file(server, target):
    r = ask(server, b"GET " + target)
    assert r.status in (400, 404) and b"root:" not in r.body


def test_an_escaped_slash_parts_no_segments(server):
    r = ask(server, b"GET /nobody%2f")
    assert r.status in (400, 404)


def test_the_endpoint_label_is_the_pattern(server):
    ask(server, b"GET /echo/one-of-a-kind")
    assert server.metric("http_requests_total", endpoint="/echo/{rest...}", status=200) >= 1
    assert not [labels for _, labels, _ in server.metrics() if "one-of-a-kind" in str(labels)]
