# SPDX-License-Identifier: Apache-2.0
"""The servers of redis_server.py do what it says, since other tests stand on them."""
import shutil

import pytest

from redis_server import Fake, Redis, RedisError, Sentinel, Wire, kit


def test_a_server_answers_and_forgets_over_a_restart(redis):
    assert redis.cli("SET", "a", b"\0\r\n") == b"OK" and redis.cli("GET", "a") == b"\0\r\n"
    assert redis.keys() == [b"a"] and redis.calls("set") == 1
    port = redis.port
    redis.restart()
    assert redis.port == port and redis.cli("GET", "a") is None
    with Wire(redis.socket) as w:
        assert w.ask("PING") == b"PONG"


def test_a_killed_server_is_gone_and_comes_back(redis):
    redis.kill()
    with pytest.raises(OSError):
        redis.cli("PING")
    redis.start()
    assert redis.cli("PING") == b"PONG"


def test_a_paused_server_takes_connections_and_answers_when_it_goes_on(redis):
    redis.pause()
    with Wire(("127.0.0.1", redis.port)) as w:
        w.send("PING")
        w.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            w.sock.recv(1)
    redis.resume()
    kit.wait_for(lambda: redis.cli("PING") == b"PONG", "Redis to go on")


def test_passwords_and_users():
    with Redis(password="p") as r:
        assert r.cli("PING") == b"PONG" and r.url.startswith("redis://:p@")
        with Wire(("127.0.0.1", r.port)) as w, pytest.raises(RedisError) as e:
            w.ask("PING")
        assert e.value.code == "NOAUTH"
    with Redis(user="guard", acl="~chimera:* +@all") as r:
        with Wire(("127.0.0.1", r.port), r.password, "guard") as w, pytest.raises(RedisError) as e:
            w.ask("GET", "other")
        assert e.value.code == "NOPERM"


@pytest.mark.skipif(not shutil.which("redis-sentinel"), reason="redis-sentinel is not at hand: install redis-sentinel")
def test_a_sentinel_makes_the_replica_the_master():
    with Redis() as a, Redis(replicaof=a) as b, Sentinel(a) as s:
        assert s.master() == ("127.0.0.1", a.port)
        kit.wait_for(lambda: s.replicas() == [b.port], "the sentinel to find the replica")
        a.kill()
        kit.wait_for(lambda: s.master() == ("127.0.0.1", b.port), "the failover")
        kit.wait_for(lambda: b.cli("ROLE")[0] == b"master", "the replica to be master")


def test_a_fake_says_what_it_is_told():
    with Fake(lambda command, n: b"+%d\r\n" % n if command == [b"PING"] else None) as f:
        with Wire(("127.0.0.1", f.port)) as w:
            assert w.ask("PING") == b"0"
            with pytest.raises(ConnectionError):
                w.ask("END")
        assert f.commands == [[b"PING"], [b"END"]] and f.connections == 1
