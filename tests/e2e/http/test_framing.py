# SPDX-License-Identifier: Apache-2.0
"""Heads and bodies that could be read in two ways, or in none: refused, and the connection is over (FAULTS H1-H13, H18)."""
import chimera as kit
import pytest

CONFIG = {"t_echo": {}}
SMUGGLED = b"GET /echo/smuggled HTTP/1.1\r\nHost: test\r\n\r\n"


def refused(server, request, statuses=(400,)):
    """The bytes are refused with one of these statuses, nothing behind them is read as a request, and the refusal is counted."""
    before = server.metric("chimera_http_rejected_total")
    answers = server.raw(request + SMUGGLED, answers=None)
    assert [a.status for a in answers] and answers[0].status in statuses, answers
    assert len(answers) == 1, answers
    assert not answers[0].keeps
    assert answers[0].header("Content-Type") == "application/problem+json"
    assert kit.HTTP_DATE.fullmatch(answers[0].header("Date"))
    assert answers[0].json()["status"] == answers[0].status
    return server.metric("chimera_http_rejected_total") - before


def post(*lines, body=b"hello"):
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: test", *lines)) + b"\r\n\r\n" + body


def get(*lines, line=b"GET / HTTP/1.1", host=b"Host: test"):
    return b"\r\n".join([line] + ([host] if host else []) + list(lines)) + b"\r\n\r\n"


@pytest.mark.parametrize("lines", [
    (b"Content-Length: 5", b"Content-Length: 6"),
    (b"Content-Length: 5", b"Content-Length: 5"),
    (b"Content-Length: 5, 5",),
    (b"Content-Length: 5,6",),
    (b"Content-Length: 5", b"content-length: 5"),
])
def test_h1_two_content_lengths_are_400(server, lines):
    assert refused(server, post(*lines)) == 1


@pytest.mark.parametrize("lines", [
    (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
])
def test_h2_length_and_coding_together_are_400(server, lines):
    assert refused(server, post(*lines, body=b"0\r\n\r\n")) == 1


@pytest.mark.parametrize("value", [b"+5", b"-0", b"-5", b"0x5", b"0o5", b"1_0", b"1 0", b"", b"00", b"05", b"5.0", b"5e0",
    b"9223372036854775808",
                                   b"18446744073709551621", b"99999999999999999999999999999999", b"5;", b"\xb2", b"5\x0b"])
def test_h3_a_content_length_that_is_no_number_is_400(server, value):
    assert refused(server, post(b"Content-Length: " + value)) == 1


def test_h3_a_huge_content_length_is_refused_without_memory_for_it(server):
    before = server.rss()
    for length in (b"9223372036854775807", b"1000000000000", b"4294967296"):
        r = server.one(post(b"Content-Length: " + length, body=b""), closes=True)
        r.problem(413, "too_large")
    assert server.rss() - before < 4 << 20


@pytest.mark.parametrize("lines", [
    (b"Transfer-Encoding: xchunked",),
    (b"Transfer-Encoding: identity",),
    (b"Transfer-Encoding: gzip",),
    (b"Transfer-Encoding: chunked, chunked",),
    (b"Transfer-Encoding: gzip, chunked",),
    (b"Transfer-Encoding: , chunked",),
    (b"Transfer-Encoding: chunked,",),
    (b"Transfer-Encoding: chunked;q=1",),
    (b"Transfer-Encoding: \x0bchunked",),
    (b"Transfer-Encoding: chunked\x0c",),
    (b"Transfer-Encoding: chunked\x00",),
    (b"Transfer-Encoding:\r\n chunked",),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    (b"Transfer-Encoding:",),
    (b'Transfer-Encoding: "chunked"',),
])
def test_h4_a_coding_other_than_chunked_once_is_refused(server, lines):
    assert refused(server, post(*lines, body=b"0\r\n\r\n"), (400, 501)) == 1


def test_h4_a_coding_in_http_1_0_is_400(server):
    assert refused(server, b"POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 1


@pytest.mark.parametrize("name", [b"Transfer_Encoding", b"Content_Length", b"Content_length"])
def test_h5_an_underscore_is_no_hyphen(server, name):
    value = b"chunked" if name.startswith(b"T") else b"5"
    answers = server.raw(get(name + b": " + value, line=b"GET /fields HTTP/1.1"))
    if answers[0].status == 200:
        assert name.decode().lower() not in answers[0].text.lower()
    else:
        answers[0].problem(400, "bad_request")


@pytest.mark.parametrize("size", [b"10000000000000000", b"fffffffffffffffff", b"80000000000000000", b"8000000000000000", b"0x5", b"+5",
    b"-5", b"5_0",
                                  b" 5", b"5 ", b"\t5", b"", b"g", b"5;", b"5; ", b"5;=x", b"5;a=", b'5;a="x', b"5;a\x00b=1", b"5;a@=1",
                                  b"5\x00",
                                  b"5,5"])
def test_h6_a_malformed_chunk_size_is_400(server, size):
    answers = server.raw(post(b"Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n") + SMUGGLED, answers=None)
    assert len(answers) == 1
    answers[0].problem(400, "bad_request")
    assert not answers[0].keeps


@pytest.mark.parametrize("size", [b"5;a=b", b"5;a", b'5;a="b c"', b"0005", b'5;a="\\""'])
def test_h6_a_chunk_extension_is_read_over(server, size):
    r = server.one(post(b"Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n"), closes=False)
    assert (r.status, r.body) == (200, b"hello")


@pytest.mark.parametrize("body", [b"5;a=" + b"x" * 65536 + b"\r\nhello\r\n0\r\n\r\n",
    b"1;a=bcdefghijklmnop\r\nx\r\n" * 20000 + b"0\r\n\r\n",
                                  b"5\r\nhello\r\n0\r\n" + b"X-T: abcdefgh\r\n" * 8000 + b"\r\n"],
                         ids=["one long extension", "many extensions", "many trailers"])
def test_h7_a_flood_of_chunk_overhead_is_400_or_431(server, body):
    answers = server.raw(post(b"Transfer-Encoding: chunked", body=body), answers=None)
    assert len(answers) == 1 and answers[0].status in (400, 413, 431), answers
    assert not answers[0].keeps


def test_h7_one_byte_chunks_cost_the_server_no_more_than_100_times_the_client(server):
    body = b"1\r\nx\r\n" * 5000
    before = server.cpu()
    r = server.raw(post(b"Transfer-Encoding: chunked", body=body + b"0\r\n\r\n"), answers=None if len(body) > 16384 else 1)[0]
    assert r.status in (200, 400)
    assert server.cpu() - before < 1


@pytest.mark.parametrize("body", [b"5\r\nhelloo\r\n0\r\n\r\n", b"6\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n",
                                  b"5\rhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhello\r\n0\r\n\n", b"5\r\nhello\r\n0\n\r\n"])
def test_h8_chunk_data_that_does_not_fit_its_size_is_400(server, body):
    answers = server.raw(post(b"Transfer-Encoding: chunked", body=body), answers=None, finish=True)
    assert len(answers) == 1, answers
    answers[0].problem(400, "bad_request")


@pytest.mark.parametrize("trailer", [b"Content-Length: 50", b"Transfer-Encoding: chunked", b"Host: evil", b"Authorization: Bearer x",
                                     b"Content-Type: text/evil", b"X-Checksum: 1"])
def test_h9_trailers_are_discarded(server, trailer):
    with server.connect() as c:
        c.send(post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n") + get(line=b"GET /fields HTTP/1.1"))
        first = c.response()
        if first.status == 400:
            c.expect_close()
            return
        assert (first.status, first.body) == (200, b"hello")
        assert c.response().text == "Host: test\n"


@pytest.mark.parametrize("request_", [
    b"GET / HTTP/1.1\nHost: test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\r\n\n",
    b"GET / HTTP/1.1\rHost: test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: te\rst\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\r\nX-A: b\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\r\nX-A: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\r\nX-A: b\r\n\tc\r\n\r\n",
])
def test_h10_a_bare_lf_or_cr_or_a_folded_line_is_400(server, request_):
    assert refused(server, request_) == 1


@pytest.mark.parametrize("byte", [b"%c" % i for i in range(32) if i not in (9, 10, 13)] + [b"\x7f"])
def test_h11_a_control_byte_in_a_head_is_400(server, byte):
    assert refused(server, get(b"X-A: a" + byte + b"b")) == 1
    assert refused(server, get(b"X" + byte + b"A: b")) == 1
    assert refused(server, get(line=b"GET /a" + byte + b"b HTTP/1.1")) == 1


def test_h11_a_tab_in_a_value_is_taken(server):
    assert server.one(get(b"X-A: a\tb"), closes=False).status == 200


@pytest.mark.parametrize("line", [b"X-A : b", b"X-A\t: b", b": b", b"X-A", b"X A: b", b"X@A: b", b"X(A: b", b"X\xc3\xa4: b", b" X-A: b",
    b"\tX-A: b"])
def test_h12_a_malformed_field_name_is_400(server, line):
    assert refused(server, b"GET / HTTP/1.1\r\n" + line + b"\r\nHost: test\r\n\r\n") == 1
    if line[:1] not in b" \t":
        assert refused(server, get(line)) == 1


@pytest.mark.parametrize("hosts", [(), (b"Host: a", b"Host: a"), (b"Host: a", b"Host: b"), (b"Host:",), (b"Host: a, b",), (b"Host: u@a",),
    (b"Host: a/b",),
                                   (b"Host: a b",), (b"Host: a:b",), (b"Host: [::1",), (b"Host: http://a",)])
def test_h13_a_host_that_is_not_exactly_one_host_is_400(server, hosts):
    assert refused(server, get(*hosts, host=None)) == 1


@pytest.mark.parametrize("host", [b"a", b"a:80", b"127.0.0.1:1", b"[::1]", b"[::1]:8080", b"a.b-c.d", b"A"])
def test_h13_a_host_is_taken_in_all_its_forms(server, host):
    assert server.one(get(host=b"Host: " + host), closes=False).status == 200


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"GET / HTTP/3.0", b"GET / HTTP/01.1", b"GET / HTTP/1.01", b"GET / http/1.1",
    b"GET / HTTP/1", b"GET / HTTP/1.1.1",
                                  b"GET / HTTP/ 1.1", b"GET / HTTP 1.1", b"GET / HTTPS/1.1", b"GET / HTTP/9.9", b"GET / HTTP/0.9",
                                  b"GET /", b"GET  / HTTP/1.1",
                                  b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET"])
def test_h18_another_version_or_a_malformed_line_is_400_or_505(server, line):
    assert refused(server, get(line=line), (400, 505)) == 1


def test_h18_the_preface_of_http_2_is_refused(server):
    assert refused(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)) == 1


def test_h18_http_1_2_is_1_1_or_refused(server):
    answers = server.raw(get(line=b"GET / HTTP/1.2"))
    assert answers[0].status in (200, 505)


def test_an_empty_line_before_a_request_is_read_over(server):
    assert server.one(b"\r\n" + get(), closes=False).status == 200
