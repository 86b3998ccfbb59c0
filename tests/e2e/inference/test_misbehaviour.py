# SPDX-License-Identifier: Apache-2.0
"""What a client is told of each thing that an upstream may do wrong (misbehaviours.py, misbehaving_streams.py), for a whole answer and for a stream.

The table says it in the words of gateway.Outcome. All cases run at once; each must have exactly one end, and what was sent behind a broken
answer must never become somebody else's. Any gateway can be put to this: README.md.
"""
import concurrent.futures
import json
import re
import socket

import dialects
import gateway as gw
import misbehaviours
import misbehaving_streams
import pytest

import chimera as kit

ANY_GATEWAY = True
INVALID, ERROR, TIMEOUT, AUTH, LIMITED, BUSY, AWAY = (f"503 upstream_{w}" for w in (
    "invalid", "error", "timeout", "auth", "x", "busy", "unavailable"))
LIMITED = "429 upstream_rate_limited"
SAME = "the status"  # the upstream's own, and its error object

# name: (a whole answer, a stream, may its connection serve on). "error x" begins as a stream and ends with an error frame.
TABLE = {
    "fin-before-head": (ERROR, ERROR, False),
    "rst-before-head": (ERROR, ERROR, False),
    "fin-in-head": (ERROR, ERROR, False),
    "fin-after-head": (ERROR, ERROR, False),
    "rst-after-head": (ERROR, ERROR, False),
    "stall-before-head": (TIMEOUT, TIMEOUT, False),
    "stall-in-head": (TIMEOUT, TIMEOUT, False),
    "stall-after-head": (TIMEOUT, TIMEOUT, False),
    "garbage": (INVALID, INVALID, False),
    "tls-alert": (INVALID, INVALID, False),
    "endless-headers": (INVALID, INVALID, False),
    "header-10m": (INVALID, INVALID, False),
    "drip-head": (TIMEOUT, TIMEOUT, False),
    "redirect": (INVALID, INVALID, True),
    "length-twice": (INVALID, INVALID, False),
    **{f"status-{s}": (SAME, SAME, True) for s in (400, 404, 413, 415, 422)},
    **{f"status-{s}": (AUTH, AUTH, True) for s in (401, 402, 403)},
    "status-408": (TIMEOUT, TIMEOUT, True),
    **{f"status-{s}": (ERROR, ERROR, True) for s in (409, 418, 500, 502, 503, 504, 529)},
    "status-429": (LIMITED, LIMITED, True),
    **{f"status-429-after-{a}": (LIMITED, LIMITED, True) for a in ("99999", "-1", "soon", "future", "past", "1e9", "0", "empty", "7")},
    "status-503-busy": (BUSY, BUSY, True),
    "status-503-after-99999": (ERROR, ERROR, True),
    "status-400-after-7": (SAME, SAME, True),
    "status-401-after-7": (AUTH, AUTH, True),
    "status-400-with-key": (SAME, SAME, True),
    "status-401-with-key": (AUTH, AUTH, True),
    "status-500-with-key": (ERROR, ERROR, True),
    "status-400-html": (SAME, SAME, True),
    "status-400-endless": (SAME, SAME, False),
    "status-400-array": (SAME, SAME, True),
    "status-400-int-code": (SAME, SAME, True),
    "status-204": (INVALID, INVALID, True),
    "status-101": (INVALID, INVALID, False),
    "error-in-200": (ERROR, ERROR, True),
    "error-in-200-whole": (ERROR, ERROR, True),
    "empty": (INVALID, ERROR, True),
    "html": (INVALID, INVALID, True),
    "invalid-json": (INVALID, INVALID, True),
    "array": (INVALID, INVALID, True),
    "wrong-shape": (INVALID, INVALID, True),
    "trailing-bytes": (INVALID, INVALID, True),
    "invalid-utf8": (INVALID, INVALID, True),
    "nul": (INVALID, INVALID, True),
    "deep-json": (INVALID, INVALID, True),
    "gzip": (INVALID, INVALID, False),
    "gzip-bomb": (INVALID, INVALID, False),
    "whole-for-stream": (INVALID, INVALID, True),
    "bad-chunk-size": (INVALID, "error upstream_invalid", False),
    "length-too-long": (ERROR, "error upstream_error", False),
    "length-too-short": (INVALID, "error upstream_error", False),
    "trailers": ("ok", "ok", True),
    "extra-answer": ("ok", "ok", False),
    "split": ("ok", "ok", True),
    "closes": ("ok", "ok", False),
    "rst-mid": (ERROR, "error upstream_error", False),
    "fin-mid": (ERROR, "error upstream_error", False),
    "stall-mid": (TIMEOUT, "error upstream_timeout", False),
    "half-frame-fin": (ERROR, "error upstream_error", False),
    "half-frame-end": (INVALID, "error upstream_error", True),
    "drip": (TIMEOUT, TIMEOUT, False),
    "body-1g": (INVALID, "error upstream_invalid", False),
    "infinite-line": (INVALID, INVALID, False),
    "error-mid": ("ok", "error upstream_error", True),
    "error-mid-done": ("ok", "error upstream_error", True),
    "error-mid-hold": ("ok", "error upstream_error", False),
    "error-mid-event": ("ok", "error upstream_error", True),
    "error-mid-text": ("ok", "error upstream_error", True),
    "invalid-json-mid": ("ok", "error upstream_invalid", True),
    "number-mid": ("ok", "error upstream_invalid", True),
    "invalid-utf8-mid": ("ok", "error upstream_invalid", True),
    "nul-mid": ("ok", "error upstream_invalid", True),
    "surrogate-mid": ("ok", "error upstream_invalid", True),
    "escaped-nul-mid": ("ok", "ok", True),
    "deep-mid": ("ok", "error upstream_invalid", True),
    "huge-event-mid": ("ok", "error upstream_invalid", False),
    "infinite-line-mid": ("ok", "error upstream_invalid", False),
    "comments": ("ok", "error upstream_timeout", False),
    "comments-first": ("ok", TIMEOUT, False),
    "blank-lines-first": (TIMEOUT, TIMEOUT, False),
    "no-done": ("ok", "ok", True),
    "no-done-fin": ("ok", "ok", False),
    "done-without-finish": ("ok", "error upstream_error", True),
    "end-without-finish": ("ok", "error upstream_error", True),
    "empty-finish": ("ok", "error upstream_error", True),
    "null-text-finish": ("ok", "error upstream_error", True),
    "two-done": ("ok", "ok", True),
    "frames-after-done": ("ok", "ok", True),
    "hold-after-done": ("ok", "ok", False),
    "choices-null": ("ok", "ok", True),
    "crlf": ("ok", "ok", True),
    "cr": ("ok", "ok", True),
    "two-data-lines": ("ok", "ok", True),
    "bom": ("ok", "ok", True),
    "slow-but-good": ("ok", "ok", True),
}
# Of server-sent events alone, or not to be said in lines of JSON.
NOT_OLLAMA = {"error-mid-done", "error-mid-event", "comments", "comments-first", "no-done", "no-done-fin", "two-done", "frames-after-done",
              "choices-null", "crlf", "cr", "two-data-lines", "bom", "done-without-finish", "error-in-200-whole"}
# Where Ollama's answer to the same is another.
OLLAMA = {
    "whole-for-stream": ("503 upstream_invalid", "ok", True),  # its last line may be its only one
    "half-frame-end": (INVALID, "error upstream_invalid", True),  # half a line is a line
}
LOG = 30  # cases at once


def cases(dialect):
    for name, row in TABLE.items():
        if dialect == "ollama":
            if name in NOT_OLLAMA:
                continue
            row = OLLAMA.get(name, row)
        for stream in (False, True):
            yield pytest.param(dialect, name, stream, row[stream], row[2], id=f"{dialect}-{name}-{'stream' if stream else 'whole'}")


CASES = [*cases("openai"), *cases("ollama")]


def config(port):
    return gw.sections(port, openai__up={"max_answer": "1m", "max_stream": "1m"}, llama__ollama={"max_answer": "1m", "max_stream": "1m"})


def model_of(dialect, name):
    return f"{'ollama-' if dialect == 'ollama' else ''}bad-{name}"


@pytest.fixture(scope="module")
def trap():
    """A server that nobody may be sent to."""
    s = socket.create_server(("127.0.0.1", 0))
    misbehaviours.OTHER_HOST[:] = [s.getsockname()]
    yield s
    misbehaviours.OTHER_HOST.clear()
    s.close()


@pytest.fixture(scope="module")
def outcomes(gateway, provider, trap):
    """{(dialect, name, stream): Outcome or what was wrong}."""
    def one(case):
        dialect, name, stream, *_ = case.values
        try:
            return gw.outcome(gateway, model_of(dialect, name), stream)
        except Exception as e:  # whatever it is, it is that case's: pylint: disable=broad-except
            return e
    with concurrent.futures.ThreadPoolExecutor(LOG) as pool:
        found = dict(zip((c.values[:3] for c in CASES), pool.map(one, CASES)))
    for _ in range(3):  # a busy machine makes this upstream so late that a timeout is the right word: few at once, it is not
        late = [c for c in CASES if c.values[3] not in (TIMEOUT, "error upstream_timeout") and timed_out(found[c.values[:3]])]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            found.update(zip((c.values[:3] for c in late), pool.map(one, late)))
    return found


def timed_out(r):
    return isinstance(r, TimeoutError) or "upstream_timeout" in getattr(r, "said", "")


def result(outcomes, dialect, name, stream):
    r = outcomes[dialect, name, stream]
    if isinstance(r, Exception):
        raise AssertionError(f"{type(r).__name__}: {r}") from r
    return r


def test_the_table_has_every_misbehaviour():
    assert set(TABLE) == set(misbehaving_streams.MISBEHAVIOURS)


@pytest.mark.parametrize("dialect, name, stream, expected, reuse", CASES)
def test_one_end_and_the_right_one(outcomes, provider, dialect, name, stream, expected, reuse):
    r = result(outcomes, dialect, name, stream)
    if expected == SAME:
        status = re.search(r"\d{3}", name)[0]
        assert r.said.startswith(status + " "), r.said
    else:
        assert r.said == expected, r.response
    if r.said != "ok" and r.response.status not in gw.MENDABLE:
        assert r.error()["code"] == r.said.split()[1]
    assert gw.SECRET.encode() not in r.everything


@pytest.mark.parametrize("dialect, name, stream, expected, reuse", [
    c for c in CASES if not c.values[4] and (c.values[3] != "ok" or c.values[2] or c.values[1] in ("extra-answer", "closes"))])
def test_u1_the_connection_of_a_broken_answer_is_not_used_again(outcomes, provider, dialect, name, stream, expected, reuse):
    result(outcomes, dialect, name, stream)
    requests = [r for r in provider.of(model_of(dialect, name)) if bool(r.stream) == stream]
    assert requests
    for r in requests:
        assert r.conn.closed.wait(kit.DEADLINE), "the gateway keeps the connection open"
        assert [q for q in provider.requests if q.conn is r.conn][-1] is r


@pytest.mark.parametrize("name, text", [
    (f"status-{s}", f"the upstream says {s}") for s in (400, 404, 413, 415, 422)])
def test_what_the_client_can_mend_keeps_the_provider_s_error(outcomes, name, text):
    for stream in (False, True):
        e = result(outcomes, "openai", name, stream).error()
        assert e == {"message": text, "type": "invalid_request_error", "param": "messages", "code": f"up_{name[-3:]}"}
        said = result(outcomes, "ollama", name, stream).error()["message"]
        assert text in said or name == "status-404" and "ollama pull" in said


@pytest.mark.parametrize("after, least, most", [("99999", 120, 120), ("future", 120, 120), ("1e9", 1, 120), ("7", 7, 7), ("-1", 1, 120),
                                                ("soon", 1, 120), ("past", 1, 120), ("0", 1, 120), ("empty", 1, 120)])
def test_u6_an_odd_retry_after_is_clamped(outcomes, after, least, most):
    for dialect in ("openai", "ollama"):
        for stream in (False, True):
            r = result(outcomes, dialect, f"status-429-after-{after}", stream)
            assert least <= int(r.response.header("Retry-After")) <= most, (dialect, stream, r.response)
            assert r.response.header("x-should-retry") == "true"
    assert int(result(outcomes, "openai", "status-503-after-99999", False).response.header("Retry-After")) == 120


@pytest.mark.parametrize("status", [401, 402, 403])
def test_our_own_key_s_trouble_is_never_the_client_s(outcomes, status):
    for dialect in ("openai", "ollama"):
        r = result(outcomes, dialect, f"status-{status}", False).response
        assert r.header("x-should-retry") == "false" and r.header("Retry-After") is None and r.header("WWW-Authenticate") is None


def test_u7_a_redirect_is_not_followed(outcomes, trap):
    trap.settimeout(0)
    with pytest.raises(BlockingIOError):
        trap.accept()


def test_u3_what_never_ends_costs_little_memory(outcomes, gateway):
    """Headers, bodies, lines and a gzip bomb without end, thirty at once; a head is held to 64 KiB, an event to 1 MiB, a body to
    max_answer."""
    if not gateway.chimera:
        pytest.skip("the gateway is not ours")
    if kit.SANITIZERS:
        pytest.skip("sanitizers keep what was freed")
    with open(f"/proc/{gateway.chimera.pid}/status", encoding="ascii") as f:
        peak = int(re.search(r"VmHWM:\s*(\d+) kB", f.read())[1]) << 10
    print(f"resident at most {peak >> 20} MiB, now {gateway.chimera.rss() >> 20} MiB")
    assert peak < 128 << 20


def test_u4_what_came_before_a_stream_broke_is_as_it_was_sent(outcomes):
    for name in ("rst-mid", "fin-mid", "half-frame-fin", "error-mid", "stall-mid", "bad-chunk-size"):
        s = result(outcomes, "openai", name, True).stream
        sent = list(dialects.OpenAI("/v1/chat/completions", {"model": f"bad-{name}"}).chunks(False))[:misbehaviours.GOOD]
        assert s.events[:-1] == sent, name


def test_u5_a_stream_that_is_not_broken_arrives_as_it_was_sent(outcomes):
    for name in ("split", "trailers", "crlf", "cr", "bom", "no-done", "two-done", "frames-after-done", "hold-after-done", "slow-but-good"):
        s = result(outcomes, "openai", name, True).stream
        sent = list(dialects.OpenAI("/v1/chat/completions", {"model": f"bad-{name}"}).chunks(False))
        assert s.events == [*sent, b"[DONE]"], name


def test_an_event_of_several_lines_becomes_one_of_one_line(outcomes):
    s = result(outcomes, "openai", "two-data-lines", True).stream
    sent = list(dialects.OpenAI("/v1/chat/completions", {"model": "bad-two-data-lines"}).chunks(False))
    assert [json.loads(e) for e in s.events[:-1]] == [json.loads(e) for e in sent]


def test_u14_no_secret_reaches_the_log_or_the_metrics(outcomes, gateway):
    if not gateway.chimera:
        pytest.skip("the gateway's log is not ours")
    assert gw.SECRET not in gateway.chimera.stderr()
    assert gw.SECRET not in gateway.chimera.get("/metrics", kind="status").text
    for dialect in ("openai", "ollama"):
        for name in ("status-400-with-key", "error-in-200"):
            assert result(outcomes, dialect, name, False).error()["message"]  # something was left of it


def test_no_answer_says_where_the_upstream_is(outcomes, gateway, provider):
    """The operator's log does."""
    place = f"127.0.0.1:{provider.port}"
    assert [case for case, r in outcomes.items() if not isinstance(r, Exception) and place.encode() in r.everything] == []
    assert gateway.chimera is None or place in gateway.chimera.stderr()


def test_the_gateway_serves_on(outcomes, gateway):
    assert gw.outcome(gateway, "gpt-test", False).said == gw.outcome(gateway, "gpt-test", True).said == "ok"
    assert gw.outcome(gateway, "ollama-gemma3", False).said == gw.outcome(gateway, "ollama-gemma3", True).said == "ok"


def test_an_upstream_that_is_not_there_is_unavailable(gateway):
    assert gw.outcome(gateway, "dead-end", False).said == gw.outcome(gateway, "dead-end", True).said == AWAY
