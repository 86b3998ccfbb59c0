# SPDX-License-Identifier: Apache-2.0
"""What leaves the server: no field can split an answer, no client's word becomes a log line or a label (FAULTS H25, H28, P11, P13)."""
import json

import chimera as kit
import pytest

CONFIG = {"t_echo": {}, "trace": {"trust_incoming": "always"}, "ask": {}, "dryrun": {}, "log": {"access": "all"}}


@pytest.mark.parametrize("value", [b"a\r\nX-Evil: 1", b"a\nX-Evil: 1", b"a\rX-Evil: 1", b"a\x01b", b"a\x1bb", b"a\x7fb", b"\r\n\r\n<html>"])
def test_h28_a_field_of_the_answer_takes_no_line_end_and_no_control(server, value):
    r = server.request("POST", "/reflect", value)
    assert (r.status, r.body) == (200, b"refused")
    assert r.header("X-Reflected") is None and r.header("X-Evil") is None


def test_h28_other_bytes_of_a_field_are_kept(server):
    r = server.request("POST", "/reflect", b'a\tb;c="d" %0d%0a')
    assert r.body == b"set" and r.header("X-Reflected") == 'a\tb;c="d" %0d%0a'


@pytest.mark.parametrize("rid", ["a%0d%0aX-Evil:1", "a b", "x" * 300, "<script>", 'a"b', "a\x80"])
def test_h28_a_request_id_that_could_harm_is_replaced(server, rid):
    r = server.get("/nowhere", headers={"X-Request-Id": rid})
    assert r.header("X-Request-Id") == r.json()["req_id"]
    assert r.header("X-Evil") is None
    if any(ch in rid for ch in ' <"\x80') or len(rid) > 200:
        assert r.header("X-Request-Id") != rid


def test_h28_a_path_in_a_decoded_field_cannot_split_the_answer(server):
    r = server.one(b"GET /echo/a%20b%09c HTTP/1.1\r\nHost: test\r\n\r\n")
    assert r.status in (200, 400)
    assert len([n for n, _ in r.fields if n == "X-Rest"]) <= 1


def test_h28_a_client_s_text_in_an_error_is_escaped_json(server):
    r = server.request("POST", "/v1/ask", json.dumps({"prompt": "x", 'a"b\u0001\\': 1}))
    p = r.problem(400, "bad_request")
    assert r'"a\"b\u0001\\"' in p["detail"]  # as it came, escapes and all


TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(193))


@pytest.mark.parametrize("data", [TLS_HELLO, b"\x00" * 1000, b"\xff" * 1000, b"\x16\x03\x01\r\n\r\n", b"SSH-2.0-x\r\n\r\n",
    b"EHLO test\r\n\r\n"],
                         ids=["tls", "zeros", "ones", "short tls", "ssh", "smtp"])
def test_h25_bytes_that_are_no_http_are_400_and_closed(server, data):
    answers = server.raw(data, answers=None, finish=True)
    assert [a.status for a in answers] in ([400], [501], [505], [])


def test_h25_random_bytes_never_harm(server):
    random = kit.seeded()
    for _ in range(60):
        data = random.randbytes(random.randrange(1, 3000))
        for answer in server.raw(data, answers=None, finish=True):
            assert 400 <= answer.status < 600
    assert server.get("/").status == 200


def test_h25_garbage_is_one_log_line_a_second_and_loop(server):
    lines = len(server.said("refused:"))
    counted = server.metric("chimera_http_rejected_total")
    first = kit.time.monotonic()
    with_garbage = 300
    for _ in range(with_garbage):
        server.one(b"\x01\r\n\r\n")
    seconds = kit.time.monotonic() - first
    assert server.metric("chimera_http_rejected_total") - counted == with_garbage
    assert len(server.said("refused:")) - lines <= (int(seconds) + 2) * (kit.WORKERS + 1)


@pytest.mark.parametrize("target,seen", [
    (b"/echo/%22,%22msg%22:%22forged", '/echo/","msg":"forged'),
    (b"/echo/%7B%22lvl%22:1%7D", '/echo/{"lvl":1}'),
    (b"/echo/%E2%80%A8", "/echo/\u2028"),
    (b"/echo/%5Cn%5C", "/echo/\\n\\"),
])
def test_p11_a_path_is_one_json_string_in_the_log(server, target, seen):
    assert server.one(b"GET " + target + b" HTTP/1.1\r\nHost: test\r\n\r\n").status == 200
    line = server.wait_said("request", url__path=seen)
    assert line["msg"] == "request"
    assert not [entry for entry in server.log if "text" in entry], "a line of the log that is no JSON object"


def test_p11_control_bytes_reach_no_log(server):
    for raw in (b"GET /echo/\x1b[31m HTTP/1.1\r\nHost: test\r\n\r\n", b"GET /echo/%1b[31m%7f HTTP/1.1\r\nHost: test\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: a\x00b\r\n\r\n"):
        server.one(raw)
    server.get("/echo/end-of-controls")
    server.wait_said("request", url__path="/echo/end-of-controls")
    with open(server.errors_path, "rb") as f:
        data = f.read()
    assert not set(data) & (set(range(32)) - {10}) and 127 not in data


def test_p11_a_long_path_is_cut_in_the_log(server):
    server.get("/echo/" + "q" * 6000)
    line = kit.wait_for(lambda: [entry for entry in server.said("request") if entry.get("url.path", "").startswith("/echo/qqqq")],
        "the line")[0]
    assert len(line["url.path"]) <= 1024 + 16


def test_p13_nothing_of_a_client_becomes_a_label(server):
    before = len(server.metrics())
    for i in range(200):
        server.get(f"/nowhere/{i}")
        server.get(f"/echo/{i}")
        server.raw(b"M%d / HTTP/1.1\r\nHost: test\r\n\r\n" % i)
        server.request("POST", "/v1/ask", json.dumps({"prompt": "x", "model": f"label-{i}"}))
    samples = server.metrics()
    assert len(samples) - before < 100
    text = server.get("/metrics", kind="status").text
    assert "label-" not in text and "/nowhere" not in text and '"M1' not in text
    assert server.metric("http_requests_total", method="other", status=501) == 200
    assert server.metric("http_requests_total", endpoint="none", status=404) >= 200
