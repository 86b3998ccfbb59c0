# SPDX-License-Identifier: Apache-2.0
"""Suspended requests and tasks: every way to be resumed, too late, twice or never (FAULTS P8)."""
import chimera as kit
import pytest

CONFIG = {"t_suspend": {}, "t_service": {}, "t_echo": {}, "trace": {}}


def counter(server, name, **labels):
    before = server.metric(name, **labels)
    return lambda: server.metric(name, **labels) - before


def test_a_suspension_ends_with_its_timeout(server):
    timeouts = counter(server, "t_suspend_resumed_total", why="timeout")
    assert server.get("/suspend?timeout=50").body == b"timeout"
    assert timeouts() == 1


@pytest.mark.parametrize("path,answer", [("/suspend/thread?ms=0", b"from a thread"), ("/suspend/thread?ms=30", b"from a thread"),
                                         ("/suspend/offload?ms=0", b"from the pool"), ("/suspend/offload?ms=30", b"from the pool"),
                                         ("/suspend/service?ms=0", b"42"), ("/suspend/service?ms=20", b"42")])
def test_a_suspended_request_is_answered_when_it_is_resumed(server, path, answer):
    with server.connect() as c:
        for _ in range(10):
            r = c.ask("GET", path)
            assert (r.status, r.body) == (200, answer)


def test_many_suspended_requests_are_all_resumed(server):
    conns = [server.connect() for _ in range(100)]
    for i, c in enumerate(conns):
        c.send(kit.request_bytes("GET", f"/suspend/{'thread' if i % 2 else 'service'}?ms={i % 7}"))
    for i, c in enumerate(conns):
        want = b"from a thread" if i % 2 else b"42"
        assert c.response().body == want
        c.close()


def test_requests_behind_a_suspended_one_wait_their_turn(server):
    with server.connect() as c:
        c.send(kit.request_bytes("GET", "/suspend/thread?ms=50") + kit.request_bytes("GET", "/echo/second"))
        assert c.response().body == b"from a thread"
        assert c.response().header("X-Rest") == "second"


def test_p8_a_result_that_comes_after_the_timeout_is_dropped(server):
    late, dropped = counter(server, "t_suspend_late_total"), counter(server, "t_suspend_dropped_total")
    assert server.get("/suspend/thread?ms=1500&timeout=20").body == b"timeout"
    kit.wait_for(lambda: late() == 1 and dropped() == 1, "the late result to be dropped")
    assert server.get("/suspend/offload?ms=1500&timeout=20").body == b"timeout"
    kit.wait_for(lambda: dropped() == 2, "the late result of the pool to be dropped")


def test_p8_a_result_that_comes_after_the_client_left_is_dropped(server):
    gone, late, dropped = (counter(server, "t_suspend_resumed_total", why="gone"), counter(server, "t_suspend_late_total"),
                           counter(server, "t_suspend_dropped_total"))
    aborted = counter(server, "http_requests_total", endpoint="/suspend/thread", status=499)
    with server.connect() as c:
        c.send(kit.request_bytes("GET", "/suspend/thread?ms=2000"))  # longer than we take to see that it has begun
        kit.wait_for(lambda: server.metric("http_requests_in_progress") >= 2, "the request to begin")
        c.abort()
    kit.wait_for(lambda: gone() == 1, "GONE")
    kit.wait_for(lambda: late() == 1 and dropped() == 1, "the late result to be dropped")
    kit.wait_for(lambda: aborted() == 1, "its end")


def test_p8_a_second_completion_changes_nothing(server):
    late, dropped = counter(server, "t_suspend_late_total"), counter(server, "t_suspend_dropped_total")
    with server.connect() as c:
        for i in range(20):
            assert c.ask("GET", "/suspend/thread?ms=0&times=2").body == b"from a thread"
            assert c.ask("GET", f"/echo/{i}").header("X-Rest") == str(i)
    kit.wait_for(lambda: late() == 20 and dropped() == 20, "20 second results dropped")


def test_a_call_of_a_service_is_cancelled_when_the_client_leaves(server):
    gone, cancelled = counter(server, "t_suspend_resumed_total", why="gone"), counter(server, "t_service_calls_total", how="cancelled")
    with server.connect() as c:
        c.send(kit.request_bytes("GET", "/suspend/service?ms=-1"))
        kit.wait_for(lambda: server.metric("http_requests_in_progress") >= 2, "the request to begin")
    kit.wait_for(lambda: gone() == 1 and cancelled() == 1, "the call to be cancelled")


def test_a_call_of_a_service_is_cancelled_at_its_timeout(server):
    cancelled = counter(server, "t_service_calls_total", how="cancelled")
    assert server.get("/suspend/service?ms=-1&timeout=30").body == b"timeout"
    assert cancelled() == 1


@pytest.mark.parametrize("here", [0, 1], ids=["house loop", "own loop"])
@pytest.mark.parametrize("ms,timeout,why", [(0, 0, "ready"), (20, 0, "ready"), (-1, 50, "timeout")])
def test_a_task_calls_a_service_and_ends_at_its_deadline(server, ms, timeout, why, here):
    done = counter(server, "t_suspend_tasks_total", why=why)
    r = server.get(f"/suspend/task?ms={ms}&timeout={timeout}&here={here}")
    assert (r.status, r.body) == (202, b"begun")
    kit.wait_for(lambda: done() == 1, f"the task to end: {why}")


@pytest.mark.parametrize("how,words", [("again", "AGAIN without a ticket"), ("error", "returned ERROR"), ("value", "none of CH_OK"),
                                       ("nothing", "done without an answer")])
def test_a_handler_that_breaks_its_promise_is_500_and_named(server, how, words):
    r = server.get(f"/suspend/broken?how={how}")
    p = r.problem(500, "internal_error")
    line = server.wait_said(words, req_id=p["req_id"])
    assert line["plugin"] == "t_suspend" and line["lvl"] == "error"
    assert server.get("/echo/x").status == 200


def test_a_daemon_ends_when_a_thread_still_holds_tickets(chimera):
    """The arena is kept until the thread has resumed: that happens on loops that still run."""
    c = chimera({"t_suspend": {}, "t_service": {}, "server": {"drain_timeout": "20s", "half_close_grace": "0s"}})
    with c.connect() as s:
        s.send(kit.request_bytes("GET", "/suspend/thread?ms=1200"))
        s.finish()
        s.expect_close()
    c.wait_metric("t_suspend_resumed_total", 1, why="gone")
    c.stop()
    assert not c.said("drain_timeout is nearly over") and not c.said("does not end")
