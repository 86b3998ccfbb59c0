# SPDX-License-Identifier: Apache-2.0
"""kv_redis when Redis is killed, stands still, says no, or talks nonsense: how calls end, what is said of it, and that it comes back."""
import os
import threading

import pytest

from asking import DOWN, ask, at_once, config, degraded, errors, kit, wait_down, wait_up, works
from redis_server import Fake, Redis, Wire


def start(chimera, url, workers=1, **kv):
    c = chimera(config(url, workers, **kv))
    wait_up(c)
    return c


def test_a_killed_redis_is_down_at_once_and_comes_back_by_itself(chimera, redis):
    c = start(chimera, redis.url)
    assert ask(c, "set", value="one")["done"]
    redis.kill()
    wait_down(c)
    at_once([ask(c, "take") for _ in range(50)])
    assert c.metric("chimera_kv_breaker_open", connection="small") >= 1
    redis.start()
    wait_up(c)
    assert ask(c, "get")["done"] is False, "nothing was kept"
    kit.wait_for(lambda: c.metric("chimera_kv_breaker_open", connection="small") == 0, "the circuits of all loops to close")


def test_what_happened_is_told_once_and_that_it_is_over_once(chimera, redis):
    c = start(chimera, redis.url, workers=3)
    redis.kill()
    for _ in range(3):
        wait_down(c)
    assert c.metric("chimera_degraded", plugin="kv_redis") == 1
    verbose = c.get("/ready?verbose", kind="status").text
    assert "kv_redis" in verbose and "ready check passed" in verbose, "degraded, and ready all the same: " + verbose
    redis.start()
    wait_up(c)
    c.wait_said("works again", plugin="kv_redis")
    kit.wait_for(lambda: c.metric("chimera_degraded", plugin="kv_redis") == 0, "nothing to be degraded")
    assert len(degraded(c)) == 1 and len(c.said("works again", plugin="kv_redis")) == 1


def test_a_redis_that_stands_still_costs_the_timeout_and_then_nothing(chimera, redis):
    c = start(chimera, redis.url, timeout="500ms", connect_timeout="500ms")
    redis.pause()
    slow = ask(c, "take")
    assert slow["error"] == "unknown" and 500000 <= slow["us"] < 8000000, slow
    assert ask(c, "get")["error"] == "unavailable", "what only looks did not happen"
    wait_down(c, "take")
    at_once([ask(c, "take") for _ in range(50)])
    redis.resume()
    wait_up(c)
    assert errors(c, "timeout") >= 2


@pytest.mark.parametrize("how", ["CLIENT PAUSE", "DEBUG SLEEP"])
def test_a_redis_that_is_slow_is_down(chimera, redis, how):
    c = start(chimera, redis.url, timeout="200ms", connect_timeout="400ms")
    kit.wait_for(lambda: works(c, "take"), "Redis to be well")
    with Wire(redis) as w:
        w.send(*(["CLIENT", "PAUSE", "4000"] if how == "CLIENT PAUSE" else ["DEBUG", "SLEEP", "4"]))
        kit.wait_for(lambda: ask(c, "take")["error"] == "unknown", "Redis to be slow")
        wait_down(c, "take")
        w.read()
    wait_up(c, "take")


def test_a_call_of_its_own_timeout_ends_by_that(chimera, redis):
    c = start(chimera, redis.url)
    redis.pause()
    r = ask(c, "take", timeout=70)
    assert r["error"] == "unknown" and 70000 <= r["us"] < 8000000, r  # not SLOW
    redis.resume()
    wait_up(c)


def test_a_connection_that_is_cut_is_made_anew_at_once(chimera, redis):
    c = start(chimera, redis.url)
    kit.wait_for(lambda: min(int(row["age"]) for row in redis.clients()) >= 2, "connections that are steady, 1 s old")
    before = c.metric("chimera_kv_connects_total", result="ok")
    redis.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    kit.wait_for(lambda: c.metric("chimera_kv_connects_total", result="ok") > before, "new connections")
    wait_up(c, "take")
    assert not degraded(c) and errors(c, "down") == 0, "nobody was refused meanwhile"


def test_descriptors_are_given_back(chimera, redis):
    c = start(chimera, redis.url)
    wait_up(c, "set", key="big", bytes=100000)

    def descriptors():
        return len(os.listdir(f"/proc/{c.pid}/fd"))

    def sockets():
        return len(redis.clients())
    before, there = descriptors(), sockets()
    for _ in range(5):
        redis.kill()
        wait_down(c)
        redis.start()
        wait_up(c)
        wait_up(c, "set", key="big", bytes=100000)
    kit.wait_for(lambda: descriptors() <= before and sockets() == there, lambda: f"{descriptors()} of {before}, {sockets()} of {there}")


def test_scripts_that_redis_has_forgotten_are_sent_again(chimera, redis):
    c = start(chimera, redis.url)
    assert ask(c, "take", burst=5)["levels"][0][1] == 4
    redis.cli("SCRIPT", "FLUSH")
    r = ask(c, "take", burst=5)
    assert r["error"] == "ok" and r["levels"][0][1] == 3, "once, not twice"
    assert ask(c, "add", key="n")["number"] == 1


def test_each_operation_is_one_command(chimera, redis):
    c = start(chimera, redis.url)
    for op in ("get", "set", "del", "add", "take", "settle"):
        ask(c, op, key=op)
        redis.cli("CONFIG", "RESETSTAT")
        assert ask(c, op, key=op)["error"] == "ok"
        # What scripts call is counted by itself, so only what came from outside is looked at.
        assert redis.calls("evalsha") + redis.calls("eval") == 1, op


# ---- what Redis says no to


def test_a_wrong_password_is_one_clear_sentence_and_healed_later(chimera):
    with Redis(password="right-one") as r:
        c = chimera(config(f"redis://127.0.0.1:{r.port}/0", password="cnry0Zq7Kd-wrong-5ecret"))
        c.wait_said("refuses the password", plugin="kv_redis")
        assert ask(c, "get")["error"] == "unavailable"
        r.cli("CONFIG", "SET", "requirepass", "cnry0Zq7Kd-wrong-5ecret")
        r.password = "cnry0Zq7Kd-wrong-5ecret"
        wait_up(c)
        assert len(c.said("degraded now: Redis at", plugin="kv_redis")) == 1


def test_a_missing_password_is_told(chimera):
    with Redis(password="right-one") as r:
        c = chimera(config(f"redis://127.0.0.1:{r.port}/0"))
        c.wait_said("NOAUTH", plugin="kv_redis")
        assert ask(c, "get")["error"] == "unavailable"


def test_a_user_of_an_acl_works_with_what_the_documentation_names(chimera):
    with Redis(user="guard", acl="~chimera:* +@all -@dangerous +role") as r:
        c = start(chimera, f"redis://127.0.0.1:{r.port}/0", user="guard", password=r.password)
        for op in ("get", "set", "del", "add", "take", "settle"):
            assert ask(c, op, key=op, value="x")["error"] == "ok", op
        assert ask(c, "set", key="large", bytes=100000)["done"] and ask(c, "get", key="large")["n"] == 100000
        kit.wait_for(lambda: {row["user"] for row in r.clients()} == {"guard"}, "no others to be there")


def test_a_user_who_may_not_touch_our_keys_is_told_so(chimera):
    with Redis(user="guard", acl="~other:* +@all") as r:
        c = chimera(config(f"redis://guard:{r.password}@127.0.0.1:{r.port}/0"))
        c.wait_said("NOPERM", plugin="kv_redis")
        assert ask(c, "set", value="x")["error"] == "unavailable"


def test_a_replica_is_not_written_to(chimera):
    with Redis() as master, Redis(replicaof=master) as replica:
        c = chimera(config(replica.url))
        c.wait_said("read-only replica", plugin="kv_redis")
        assert ask(c, "set", value="x")["error"] == "unavailable"
        replica.cli("REPLICAOF", "NO", "ONE")
        wait_up(c, "set", value="x")


def test_a_master_that_becomes_a_replica_is_noticed(chimera):
    with Redis() as a, Redis() as b:
        c = start(chimera, a.url)
        a.cli("REPLICAOF", "127.0.0.1", b.port)
        kit.wait_for(lambda: ask(c, "set", value="x")["error"] == "unavailable", "READONLY")
        assert errors(c, "readonly") + errors(c, "down") >= 1
        a.cli("REPLICAOF", "NO", "ONE")
        wait_up(c, "set", value="x")


def test_a_full_redis_is_full_and_not_down(chimera):
    with Redis(maxmemory="3mb", maxmemory_policy="noeviction") as r:
        c = start(chimera, r.url)
        ask(c, "set", key="there", value="one")
        ask(c, "take", key="bucket", burst=100)
        kit.wait_for(lambda: r.cli("CONFIG", "SET", "maxmemory", "1") == b"OK", "no room")
        for _ in range(20):
            assert ask(c, "set", key="there", value="two")["error"] == "full"
            assert ask(c, "take", key="bucket", burst=100)["error"] == "full"
        assert ask(c, "get", key="there")["value"] == "one", "what stood there stands there still"
        assert c.metric("chimera_kv_breaker_open") == 0 and errors(c, "oom") >= 40
        r.cli("CONFIG", "SET", "maxmemory", "0")
        assert ask(c, "take", key="bucket", burst=100)["levels"][0][1] == 98


def test_what_others_keep_under_a_key_is_of_another_kind(chimera, redis):
    c = start(chimera, redis.url)
    redis.cli("LPUSH", "chimera:a", "x")
    redis.cli("SET", "chimera:b", "not ours")
    for key in "ab":
        for op in ("get", "set", "add", "take"):
            assert ask(c, op, key=key, value="x")["error"] == "wrong_kind", (op, key)
        assert ask(c, "take", key=key, holder="me")["error"] == "wrong_kind"
    assert redis.cli("GET", "chimera:b") == b"not ours"
    assert c.metric("chimera_kv_breaker_open") == 0


# ---- nonsense


def shaking(then):
    """A Fake's answers: a good handshake, then what `then` says."""
    seen = {}

    def answer(command, connection):
        word = command[0].upper()
        if word == b"ROLE":
            return b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
        if word == b"EVAL" and not seen.get(connection):
            seen[connection] = True
            return b"$1\r\n0\r\n"
        return then(command, connection)
    return answer


NONSENSE = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": b"\0" * 4000,
    "an array": b"*2\r\n:1\r\n:2\r\n",
    "a number": b":1\r\n",
    "nil": b"$-1\r\n",
    "an empty string": b"$0\r\n\r\n",
    "a status": b"+OK\r\n",
    "another letter": b"$1\r\nZ\r\n",
    "a level too few": b"$4\r\n11 9\r\n",
    "words for numbers": b"$9\r\n1x y z zz\r\n",
    "a huge string": b"$2147483647\r\n" + b"x" * 300000,
    "a huge array": b"*1000000000\r\n",
    "a negative array": b"*-7\r\n",
    "deep arrays": b"*1\r\n" * 60 + b":1\r\n",
    "an endless line": b"+" + b"x" * 300000,
    "an error of no name": b"-\r\n",
    "an unknown error": b"-ERR Error running script (call to f_0): @user_script:3: user_script:3: oh \r\n",
    "two answers": b"$1\r\n0\r\n" * 7,
    "an old server's readonly": b"-READONLY You can't write against a read only replica.\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "no script for ever": b"-NOSCRIPT No matching script. Please use EVAL.\r\n",
    "cut in a string": None,
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_ends_the_call_and_nothing_else(chimera, name):
    def then(command, connection):
        if name == "cut in a string":
            return b"$100\r\n1 1 1" if len(command) % 2 else None
        return NONSENSE[name]
    with Fake(shaking(then)) as f:
        c = chimera(config(f.url, timeout="400ms"))
        kit.wait_for(lambda: c.metric("chimera_kv_connects_total", result="ok") >= 1, "the handshake")
        ends = [ask(c, "take", key=f"k{i}") for i in range(12)]
        assert all(r["error"] in DOWN for r in ends), ends
        assert c.alive


@pytest.mark.parametrize("text", [b"$5\r\nhello\r\n", b"hello\r\n", b"", None, b"+OK\r\n" * 100, b"*1000000\r\n"])
def test_nonsense_in_the_handshake_is_told(chimera, text):
    with Fake(lambda command, connection: text) as f:
        c = chimera(config(f.url, connect_timeout="200ms"))
        c.wait_said("Redis", plugin="kv_redis", lvl="warn")
        assert ask(c, "get")["error"] == "unavailable"


def test_words_before_any_question_are_no_crash(chimera, redis):
    """hiredis itself would end the process here by an assertion."""
    f = Fake(lambda command, connection: b"")
    accepted = f.serve
    f.serve = lambda sock, number: (sock.sendall(b"+HELLO\r\n:1\r\n$1\r\n0\r\n*0\r\n" * 3), accepted(sock, number))
    with f:
        c = chimera(config(f.url, connect_timeout="200ms"))
        c.wait_said("Redis", plugin="kv_redis", lvl="warn")
        assert c.alive


# ---- ways out


def test_a_call_is_given_up_when_its_client_leaves(chimera, redis):
    c = start(chimera, redis.url)
    redis.pause()
    with c.connect() as conn:
        conn.send(kit.request_bytes("GET", "/kv/take?key=a"))
        kit.wait_for(lambda: c.metric("chimera_kv_calls") == 1, "the call")
        conn.abort()
    kit.wait_for(lambda: c.metric("chimera_kv_calls") == 0, "the call to be given up")
    redis.resume()
    wait_up(c)


def test_what_nobody_waits_for_is_done_and_counted_when_it_is_not(chimera, redis):
    c = start(chimera, redis.url)
    assert ask(c, "set", key="n", value="one", nobody=1)["error"] == "ok"
    kit.wait_for(lambda: ask(c, "get", key="n")["value"] == "one", "the value")
    redis.kill()
    wait_down(c)
    before = errors(c, "down")
    ask(c, "set", key="n", value="two", nobody=1)
    assert errors(c, "down") > before


def test_the_end_waits_for_what_nobody_waits_for(chimera, redis):
    c = start(chimera, redis.url)
    for i in range(50):
        ask(c, "add", key="sum", nobody=1)
    c.stop()
    assert redis.cli("GET", "chimera:sum") == b"c50:0"


def test_the_server_stops_while_redis_stands_still(chimera, redis):
    c = start(chimera, redis.url, timeout="1m")
    redis.pause()
    with c.connect() as conn:
        conn.send(kit.request_bytes("GET", "/kv/take?key=a"))
        kit.wait_for(lambda: c.metric("chimera_kv_calls") == 1, "the call")
        conn.abort()
        kit.wait_for(lambda: c.metric("chimera_kv_calls") == 0, "the call to be given up")
        c.stop()


def test_a_fault_of_the_seam_strikes(chimera, redis):
    c = start(chimera, redis.url)
    r = ask(c, "get", headers={"X-Fault": "kv", "X-Kind": "down"})
    assert r["error"] == "unavailable" and not r["again"]
    r = ask(c, "take", key="f", burst=5, headers={"X-Fault": "kv", "X-Delay": "100"})
    assert r["error"] == "ok" and r["us"] >= 100000 and r["levels"][0][1] == 4, r
    r = ask(c, "get", timeout=50, headers={"X-Fault": "kv", "X-Delay": "100000"})
    assert r["error"] == "unavailable" and 50000 <= r["us"] < 8000000, r
    assert ask(c, "take", key="f", burst=5)["levels"][0][1] == 3


# ---- large values beside small calls


def test_large_values_do_not_delay_takes(chimera, redis):
    c = start(chimera, redis.url)
    for i in range(8):
        assert ask(c, "set", key=f"v{i}", bytes=1 << 20)["done"]
    over = threading.Event()

    def read():
        with c.connect() as conn:
            i = 0
            while not over.is_set():
                assert ask(conn, "get", key=f"v{i % 8}")["n"] == 1 << 20
                i += 1

    readers = [threading.Thread(target=read) for _ in range(3)]
    for t in readers:
        t.start()
    medians = []
    with c.connect() as conn:
        for _ in range(5):  # the machine may be busy otherwise
            takes = sorted(ask(conn, "take", key="t", burst=10000)["us"] for _ in range(300))
            print(f"takes beside values of 1 MiB: median {takes[150]} us, p99 {takes[297]} us")
            medians.append(takes[150])
            if medians[-1] < 20000:
                break
    over.set()
    for t in readers:
        t.join()
    assert min(medians) < 20000, medians


def test_a_value_that_is_large_comes_over_the_other_connection(chimera, redis):
    c = start(chimera, redis.url)
    assert ask(c, "set", key="small", bytes=16384)["done"] and ask(c, "set", key="large", bytes=16385)["done"]
    assert ask(c, "get", key="small")["n"] == 16384
    redis.cli("CONFIG", "RESETSTAT")
    assert ask(c, "get", key="small")["n"] == 16384
    assert redis.calls("evalsha") + redis.calls("eval") == 1
    assert ask(c, "get", key="large")["n"] == 16385
    assert redis.calls("evalsha") + redis.calls("eval") == 3, "asked for once more over the large one's connection"


def test_a_clock_that_steps_back_locks_nobody_out(chimera, redis):
    """FAULTS R2: a state that was written when the clock was an hour ahead neither locks out nor gives anything twice."""
    c = start(chimera, redis.url)
    hour = 3600 * 1000000
    def full():
        """Takes all there is; what stands in Redis then, or nothing if it is over already."""
        return ask(c, "take", key="t", burst=2, count=1, period=1000, cost=2)["done"] and redis.cli("GET", "chimera:t")
    lack, at, rest = kit.wait_for(full, "the bucket")[1:].split(b":", 2)
    redis.cli("SET", "chimera:t", b"t%s:%d:%s" % (lack, int(at) + hour, rest))
    r = ask(c, "take", key="t", burst=2, count=1, period=1000, cost=1)
    assert not r["done"] and 0 < r["levels"][0][2] <= 1000, r
    kit.wait_for(lambda: ask(c, "take", key="t", burst=2, count=1, period=1000, cost=1)["done"], "a token, asking all the time")

    def held():
        """Scores, unless they are over already."""
        assert ask(c, "take", key="h", burst=1, holder="me", hold=1000)["done"]
        scores = {name: redis.cli("ZSCORE", "chimera:h", name) for name in (b"me", b"")}
        return all(scores.values()) and redis.cli("PERSIST", "chimera:h") and scores
    for name, score in kit.wait_for(held, "the place").items():
        score = float(score)
        redis.cli("ZADD", "chimera:h", f"{score + (hour if score > 0 else -hour):.0f}", name)
    r = ask(c, "take", key="h", burst=1, holder="you", hold=1000)
    assert not r["done"] and 0 < r["levels"][0][2] <= 1000, r
    kit.wait_for(lambda: ask(c, "take", key="h", burst=1, holder="you", hold=1000)["done"], "a place")

    assert ask(c, "set", key="v", value="x", ttl=5000)["done"]
    redis.cli("PEXPIRE", "chimera:v", 3600000)
    assert 0 < ask(c, "get", key="v")["ttl"] <= 5000 and 0 < redis.cli("PTTL", "chimera:v") <= 5000


def test_the_usual_timeout_is_20_ms(chimera, redis):
    c = chimera({**config(redis.url), "kv_redis": {"url": redis.url}})
    answers = []

    def in_time():
        """One that was refused by an open circuit, because this machine itself was late before, does not count."""
        wait_up(c)
        redis.pause()
        answers.append(ask(c, "take"))
        redis.resume()
        assert not answers[-1]["done"] and (answers[-1]["us"] >= 20000 or answers[-1]["error"] != "unknown"), answers
        return answers[-1]["error"] == "unknown" and answers[-1]["us"] < 200000
    kit.wait_for(in_time, lambda: f"one that ends behind 20 ms: {answers}")
