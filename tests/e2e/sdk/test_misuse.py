# SPDX-License-Identifier: Apache-2.0
"""What no plugin may do (t_misuse): the production host answers, counts it, names it in the log and goes on; the debug host (--strict)
stops on it with the same sentence. And what looks like misuse and is none."""
import signal

import chimera as kit
import pytest

CONFIG = {"t_misuse": {}, "t_service": {}, "dryrun": {"tokens_per_second": "1000", "answer_tokens": 20}, "trace": {}}

# how: (status, the plugin that is blamed, the sentence)
SURVIVED, BROKEN, UNKNOWN = 200, 500, "other"
WRONG = {
    "again": (BROKEN, "t_misuse", "its content hook returned AGAIN without a ticket"),
    "again_after": (BROKEN, "t_misuse", "its content hook goes on waiting (AGAIN) with no ticket out"),
    "error_after": (BROKEN, "t_misuse", "its content hook returned ERROR after a suspension"),
    "take_back_last": (BROKEN, "t_misuse", "its content hook goes on waiting (AGAIN) with no ticket out"),
    "take_back_resumed": (BROKEN, "t_misuse", "without a ticket"),
    "value": (BROKEN, "t_misuse", "its content hook returned a value that is none of CH_OK, CH_DONE, CH_AGAIN, CH_ERROR"),
    "error": (BROKEN, "t_misuse", "its content hook returned ERROR"),
    "nothing": (BROKEN, "t_misuse", "/misuse was done without an answer"),
    "double_resume": (SURVIVED, UNKNOWN, "a ticket was resumed twice, or after it was taken back"),
    "resume_taken_back": (SURVIVED, UNKNOWN, "a ticket was resumed twice, or after it was taken back"),
    "respond_twice": (SURVIVED, "t_misuse", "it called ch_respond for a request that is answered"),
    "refuse_after_respond": (SURVIVED, "t_misuse", "it called ch_refuse for a request that is answered"),
    "respond_after_begin": (SURVIVED, "t_misuse", "it called ch_respond for a request that is answered"),
    "begin_twice": (SURVIVED, "t_misuse", "it called ch_begin for a request that is answered"),
    "write_before_begin": (SURVIVED, "t_misuse", "it called ch_write before ch_begin"),
    "end_before_begin": (SURVIVED, "t_misuse", "it called ch_end before ch_begin"),
    "write_after_end": (SURVIVED, "t_misuse", "it called ch_write after the answer's end"),
    "end_twice": (SURVIVED, "t_misuse", "it called ch_end after the answer's end"),
    "header_after_head": (SURVIVED, "t_misuse", "it called ch_header_set after the head of the answer"),
    "length_after_head": (SURVIVED, "t_misuse", "it called ch_length after the head of the answer"),
    "out": (SURVIVED, "t_misuse", "it called ch_out outside of a command"),
    "end_without_question": (SURVIVED, "t_misuse", "it called ch_call_end without a question that ch_call_hooks began"),
    "two_questions": (SURVIVED, "t_misuse", "it asked a service with hooks inside of another question"),
    "question_with_ticket": (SURVIVED, "t_misuse", "it asked a service with hooks while a ticket was out"),
    "end_forgotten": (SURVIVED, None, "asked a service with hooks and did not call ch_call_end"),
    "again_dropped": (SURVIVED, "t_misuse", "its content hook got CH_AGAIN of ch_call_hooks and did not return it"),
}
ALLOWED = ["late_resume", "cancel_after", "cancel_complete", "cancel_stream", "full_sink", "no_such_series", "no_such_span", "no_such_seam"]


def ask(server, how):
    return server.get(f"/misuse?how={how}")


def check(r, status):
    if status == SURVIVED:
        assert (r.status, r.body) == (200, b"survived"), r
    else:
        r.problem(500, "internal_error")


@pytest.mark.parametrize("how", WRONG)
def test_the_production_host_survives_counts_and_names_it(server, how):
    status, plugin, sentence = WRONG[how]
    before, lines = server.metric("chimera_misuse_total"), len(server.said(sentence))
    blamed = server.metric("chimera_misuse_total", plugin=plugin) if plugin else 0
    with server.connect() as c:
        r = c.ask("GET", f"/misuse?how={how}")
        check(r, status)
        if r.keeps:
            assert c.ask("GET", "/misuse/ok").body == b"survived", "the connection goes on"
    kit.wait_for(lambda: len(server.said(sentence)) > lines, lambda: f"{sentence}: {server.stderr()[-2000:]}")
    line = server.said(sentence)[-1]
    assert line["lvl"] == "error" and "this is a bug in the plugin" in line["msg"]
    kit.wait_for(lambda: server.metric("chimera_misuse_total") > before, "the count")
    if plugin:
        assert server.metric("chimera_misuse_total", plugin=plugin) > blamed, server.stderr()[-1000:]
    if plugin not in (None, UNKNOWN):
        assert line["plugin"] == plugin
    kit.wait_for(lambda: server.metric("http_requests_in_progress") == 1, "no request to be left but this one")


def test_a_ticket_left_behind_by_a_hook_is_named_and_the_request_goes_on(server):
    before = server.metric("chimera_misuse_total", plugin="t_misuse")
    r = server.get("/misuse/ok", headers={"X-Hook": "ticket_left"})
    assert (r.status, r.body) == (200, b"survived")
    server.wait_said("its limit hook returned OK with a ticket out")
    assert server.metric("chimera_misuse_total", plugin="t_misuse") == before + 1


@pytest.mark.parametrize("how", ["again", "error", "value"])
def test_a_hook_that_is_broken_is_500_for_every_route(server, how):
    r = server.get("/misuse/ok", headers={"X-Hook": how})
    r.problem(500, "internal_error")


@pytest.mark.parametrize("how", ALLOWED)
def test_what_is_allowed_is_not_counted(server, how):
    before = server.metric("chimera_misuse_total")
    check(ask(server, how), SURVIVED)
    kit.wait_for(lambda: server.metric("http_requests_in_progress") == 1, "the request to be over")
    assert server.metric("chimera_misuse_total") == before, server.stderr()[-2000:]


def test_everything_at_once_leaves_nothing_behind(chimera):
    """All ways, on many connections, over a reload; then the server drains, which it cannot while a unit of work is left."""
    c = chimera(CONFIG, args=["-o", "server.drain_timeout=20s"])
    hows = [*WRONG, *ALLOWED]
    for _ in range(3):
        conns = [c.connect() for _ in hows]
        for conn, how in zip(conns, hows):
            conn.send(kit.request_bytes("GET", f"/misuse?how={how}"))
        for conn, how in zip(conns, hows):
            check(conn.response(), WRONG.get(how, (SURVIVED,))[0])
            conn.close()
        c.signal(signal.SIGHUP)
    # Some clients do not wait for their answer.
    for how in hows:
        with c.connect() as conn:
            conn.send(kit.request_bytes("GET", f"/misuse?how={how}"))
            conn.abort()
    kit.wait_for(lambda: c.metric("http_requests_in_progress") == 1, "no request to be left but this one")
    c.stop()
    assert not c.said("does not end") and not c.said("drain_timeout is nearly over")


def stops(chimera, how, plugin, sentence, headers=()):
    c = chimera(CONFIG, args=["--strict"])
    with c.connect() as conn:
        conn.send(kit.request_bytes("GET", f"/misuse?how={how}" if how else "/misuse/ok", headers=headers))
        conn.rest()
    code = c.process.wait(kit.DEADLINE)
    text = c.stderr()
    c.checked = True  # a program that aborts: the sanitizers' reports are looked for here
    assert not kit.REPORTS.search(text.encode()), text
    assert code == -signal.SIGABRT, text
    (line,) = [x for x in text.splitlines() if "stopped (--strict)" in x]
    assert sentence in line and (plugin in (None, UNKNOWN) or f"({plugin})" in line), line
    return line


@pytest.mark.parametrize("how", WRONG)
def test_the_debug_host_stops_on_it_with_the_sentence(chimera, how):
    _, plugin, sentence = WRONG[how]
    stops(chimera, how, plugin, sentence)


def test_the_debug_host_stops_on_a_ticket_left_behind(chimera):
    stops(chimera, None, "t_misuse", "its limit hook returned OK with a ticket out", {"X-Hook": "ticket_left"})


def test_the_debug_host_stops_on_a_timer_set_by_another_thread(chimera):
    stops(chimera, "timer_off_loop", None, "ch_timer_set was called off the loop worker-")


def test_the_debug_host_lets_pass_what_is_allowed(chimera):
    c = chimera(CONFIG, args=["--strict"])
    for how in ALLOWED:
        check(ask(c, how), SURVIVED)
    kit.wait_for(lambda: c.metric("http_requests_in_progress") == 1, "the requests to be over")
    c.stop()
