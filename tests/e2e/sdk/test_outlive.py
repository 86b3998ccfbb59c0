# SPDX-License-Identifier: Apache-2.0
"""Work that is worth more than its client: the plugin t_outlive."""
import chimera as kit

CONFIG = {"server": {"half_close_grace": "0s"}, "t_outlive": {}, "prometheus": {}}


def last(server, until):
    """What END saw of the newest work, once it begins with that."""
    def look():
        text = server.get("/outlive/last").text
        return text if text.startswith(until) else None
    return kit.wait_for(look, until)


def leave(server, query):
    """A client that asks and leaves. It closes its connection: half of it alone would be a grace."""
    with server.connect() as c:
        c.send(kit.request_bytes("GET", "/outlive?" + query))
        kit.wait_for(lambda: server.metric("http_requests_in_progress") > 1, "the work and our look at it are in progress")


def test_wanted_work_is_done_without_its_client(server):
    leave(server, "ms=3000&want=1")  # longer than we take to see that it has begun
    seen = last(server, "GET /outlive done")
    assert seen.startswith("GET /outlive done 200 aborted 5 bytes Content-Type") and "X-Work" in seen


def test_unwanted_work_is_given_up(server):
    leave(server, "ms=60000&want=0")
    assert last(server, "GET /outlive given up").startswith("GET /outlive given up 499 ")


def test_wanted_work_may_be_forsaken_later(server):
    leave(server, "ms=60000&want=1&forsake=300")
    assert last(server, "GET /outlive given up").startswith("GET /outlive given up 499 ")


def test_a_client_that_stays_gets_its_answer(server):
    assert server.get("/outlive?ms=20&want=1&forsake=5").text == "done\n"
    assert last(server, "GET /outlive done 200 whole").startswith("GET /outlive done 200 whole 5 bytes")


def test_a_server_that_ends_gives_it_up(chimera):
    c = chimera({**CONFIG, "server": {"drain_delay": "0s", "drain_timeout": "2s", "half_close_grace": "0s"}})
    leave(c, "ms=60000&want=1")
    c.stop()
