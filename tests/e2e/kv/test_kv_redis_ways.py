# SPDX-License-Identifier: Apache-2.0
"""kv_redis by its ways to a server: databases, prefixes, sockets, names, Sentinels, another config while it runs; what a config is told."""
import threading

import pytest

from asking import DOWN, ask, config, errors, kit, works, wait_up
from redis_server import Fake, Redis, Sentinel


@pytest.mark.parametrize("way", ["database", "unix socket", "unix socket and database", "localhost", "no path"])
def test_ways_to_a_server(chimera, redis, way):
    url = {"database": f"redis://127.0.0.1:{redis.port}/3", "unix socket": f"unix://{redis.socket}",
           "unix socket and database": f"unix://{redis.socket}?db=3", "localhost": f"redis://localhost:{redis.port}/0",
           "no path": f"redis://127.0.0.1:{redis.port}"}[way]
    c = chimera(config(url))
    wait_up(c)
    assert ask(c, "set", key="a", value="x", bytes=0)["done"]
    database = 3 if "database" in way else 0
    assert f"db{database}" in redis.info("keyspace") and redis.cli("EXISTS", "chimera:a") == (0 if database else 1)


def test_a_prefix_keeps_two_apart(chimera, redis):
    one, two = chimera(config(redis.url, key_prefix="one:")), chimera(config(redis.url, key_prefix="two:"))
    wait_up(one)
    wait_up(two)
    ask(one, "set", value="1")
    assert not ask(two, "get")["done"] and redis.keys() == [b"one:a"]


def test_two_servers_share_a_limit(chimera, redis):
    one, two = chimera(config(redis.url)), chimera(config(redis.url))
    wait_up(one)
    wait_up(two)
    passed = [0, 0]

    def take(i, c):
        with c.connect() as conn:
            passed[i] = sum(ask(conn, "take", burst=150)["done"] for _ in range(200))
    both = [threading.Thread(target=take, args=pair) for pair in enumerate((one, two))]
    for t in both:
        t.start()
    for t in both:
        t.join()
    assert sum(passed) == 150


def test_a_host_that_is_not_found_is_named(chimera):
    c = chimera(config("redis://no-such-host.invalid:6379/0"))
    c.wait_said("cannot be found", plugin="kv_redis", lvl="warn")
    assert ask(c, "get")["error"] == "unavailable"


def test_both_stores_are_there_and_auto_is_redis(chimera, redis):
    c = chimera({**config(redis.url), "kv_memory": {}})
    wait_up(c)
    assert ask(c, "set", value="x")["again"] and redis.cli("EXISTS", "chimera:a") == 1


# ---- Sentinel


def test_a_failover_under_load_is_followed(chimera):
    with Redis() as a, Redis(replicaof=a) as b, Sentinel(a) as s:
        kit.wait_for(lambda: s.replicas() == [b.port], "the sentinel to find the replica")
        c = chimera(config("redis://127.0.0.1:1/0", sentinels=f"127.0.0.1:{kit.free_port()}, {s.address}", master="guard",
                           connect_timeout="500ms"))
        wait_up(c, "add", key="n")
        over = threading.Event()
        seen = []

        def load():
            with c.connect() as conn:
                while not over.is_set():
                    seen.append(ask(conn, "add", key="n")["error"])
        threads = [threading.Thread(target=load) for _ in range(3)]
        for t in threads:
            t.start()
        kit.wait_for(lambda: len(seen) > 100, "some load")
        s.cli("SENTINEL", "FAILOVER", "guard")
        kit.wait_for(lambda: s.master() == ("127.0.0.1", b.port), "the failover")
        kit.wait_for(lambda: int(b.cli("EXISTS", "chimera:n")) and b.calls("evalsha") > 100, "the load at the new master")
        kit.wait_for(lambda: set(seen[-30:]) == {"ok"}, "all to go well again")
        over.set()
        for t in threads:
            t.join()
        print(f"{len(seen)} operations, {seen.count('ok')} ok, {len(seen) - seen.count('ok')} not, during a failover")
        assert set(seen) <= {"ok", *DOWN} and seen[-1] == "ok"
        a.kill()
        assert works(c, "add", key="n"), "the old master is not asked any more"


def test_a_dead_master_is_replaced(chimera):
    with Redis(password="cnry0Zq7Kd-master-5ecret") as a, Redis(password="cnry0Zq7Kd-master-5ecret", replicaof=a) as b, \
            Sentinel(a, password="cnry0Zq7Kd-sentinel-5ecret") as s:
        kit.wait_for(lambda: s.replicas() == [b.port], "the sentinel to find the replica")
        c = chimera(config("redis://localhost", password=a.password, sentinels=s.address, master="guard", sentinel_password=s.password))
        wait_up(c)
        a.kill()
        kit.wait_for(lambda: ask(c, "get")["error"] in DOWN, "the loss")
        kit.wait_for(lambda: s.master() == ("127.0.0.1", b.port), "the failover")
        wait_up(c, "set", value="x")
        assert b.cli("EXISTS", "chimera:up") == 1


@pytest.mark.parametrize("fault,words", [("name", "knows no master of that name"), ("password", "refuses the password"),
                                         ("nobody", "No Sentinel names a master"), ("nonsense", "makes no sense")])
def test_a_sentinel_that_is_of_no_use_is_told(chimera, fault, words):
    with Redis() as a, Sentinel(a, password="cnry0Zq7Kd-sentinel-5ecret" if fault == "password" else None) as s, \
            Fake(lambda command, connection: b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\nhello\r\n") as f:
        where = {"nobody": f"127.0.0.1:{kit.free_port()}", "nonsense": f"127.0.0.1:{f.port}"}.get(fault, s.address)
        c = chimera(config("redis://localhost", sentinels=where, master="other" if fault == "name" else "guard", connect_timeout="2s"))
        c.wait_said(words, plugin="kv_redis", lvl="warn")
        assert ask(c, "get")["error"] == "unavailable"


def test_a_sentinel_as_the_server_is_told(chimera):
    with Redis() as a, Sentinel(a) as s:
        c = chimera(config(f"redis://{s.address}/0"))
        c.wait_said("Sentinel", plugin="kv_redis", lvl="warn")


# ---- another config


def reload(c, sections):
    """SIGHUP with these sections, and waits until they hold."""
    import signal
    c.write(sections)
    before = len(c.said("reloaded"))
    c.signal(signal.SIGHUP)
    kit.wait_for(lambda: len(c.said("reloaded")) > before, lambda: "the reload; it said:\n" + c.stderr())


def test_a_reload_keeps_the_connections_and_what_is_under_way(chimera, redis):
    c = chimera(config(redis.url, workers=2))
    wait_up(c)
    kit.wait_for(lambda: len(redis.clients()) == 3, "a connection for each loop")
    before = {row["id"] for row in redis.clients()}
    seen, over = [], threading.Event()

    def load():
        with c.connect() as conn:
            while not over.is_set():
                seen.append(ask(conn, "add", key="n")["error"])
    t = threading.Thread(target=load)
    t.start()
    for i in range(4):
        reload(c, config(redis.url, workers=2, timeout=f"{4 + i}s"))
    over.set()
    t.join()
    assert set(seen) == {"ok"} and int(redis.cli("GET", "chimera:n")[1:].split(b":")[0]) == len(seen)
    assert {row["id"] for row in redis.clients()} == before


def test_a_reload_to_another_server_leaves_the_old_one(chimera):
    with Redis() as a, Redis() as b:
        c = chimera(config(a.url))
        wait_up(c)
        reload(c, config(b.url))
        wait_up(c, "set", value="x")
        assert b.keys() == [b"chimera:up"] and a.keys() == []
        kit.wait_for(lambda: not a.clients(), "the old connections to go")


def test_a_reload_while_redis_is_away_says_it_once_and_heals(chimera, redis):
    c = chimera(config(redis.url))
    wait_up(c)
    redis.kill()
    kit.wait_for(lambda: ask(c, "get")["error"] in DOWN and c.metric("chimera_degraded", plugin="kv_redis") == 1, "the loss")
    reload(c, config(redis.url, timeout="4s"))
    assert ask(c, "get")["error"] in DOWN
    redis.start()
    wait_up(c)
    kit.wait_for(lambda: c.metric("chimera_degraded", plugin="kv_redis") == 0, "the recovery")
    kit.wait_for(lambda: c.metric("chimera_kv_breaker_open") == 0, "the circuits of all loops to close")


# ---- what a config is told


@pytest.mark.parametrize("keys,words", [
    ({"url": "127.0.0.1:6379"}, "must begin with redis:// or unix://"),
    ({"url": "rediss://h"}, "it begins with rediss://, which this chimera cannot speak: use redis:// in a network of your own or through a "
                            "tunnel (stunnel, WireGuard), or a unix socket"),
    ({"url": "redis://h:0"}, "1 to 65535"),
    ({"url": "redis://h:99999"}, "1 to 65535"),
    ({"url": "redis://"}, "names no host"),
    ({"url": "redis://h/zero"}, "the database stands there"),
    ({"url": "redis://u@h"}, "a user without a password"),
    ({"url": "redis://:%zz@h"}, "two hex digits"),
    ({"url": "redis://h?x=1"}, "%3F"),
    ({"url": "unix://relative"}, "unix:///path"),
    ({"url": "redis://:cnry0Zq7Kd-a-5ecret@h", "password": "cnry0Zq7Kd-b-5ecret"}, "keep one of them"),
    ({"user": "me"}, "a user needs a password"),
    ({"sentinels": "a:1"}, "the name that Sentinel knows it by"),
    ({"master": "m"}, "no Sentinel to ask"),
    ({"sentinels": "a:x", "master": "m"}, "1 to 65535"),
    ({"key_prefix": "x" * 129}, "at most 128 bytes"),
])
def test_a_wrong_config_is_told_in_a_sentence(tmp_path, plugins, keys, words):
    c = kit.Chimera(tmp_path, plugins, {"kv_redis": keys})
    done = kit.run_chimerad("-c", c.path, "-t")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "kv_redis" in line and words in line]
    assert len(lines) == 1, done.stderr


def test_errors_are_counted_by_reason(chimera, redis):
    c = chimera(config(redis.url))
    wait_up(c)
    ask(c, "get", key="k" * 513)
    assert errors(c, "bad_request") == 1
    ask(c, "set", value="x")
    ask(c, "add")
    assert errors(c, "wrong_kind") == 1
    ask(c, "get")
    ask(c, "get", key="absent")
    assert c.metric("cache_hits_total", cache_type="kv_redis") == 1 and c.metric("cache_misses_total", cache_type="kv_redis") >= 1
    assert c.metric("chimera_kv_latency_seconds_count", store="kv_redis", operation="add") == 1
