# SPDX-License-Identifier: Apache-2.0
"""Asks kv_redis through t_kv_op: one operation for each call."""
import chimera as kit

DOWN = ("unavailable", "unknown")
SLOW = "10s"  # where a test is not about slowness: this machine may be slow itself


def config(url, workers=1, **kv):
    return {"server": {"workers": workers}, "t_kv_op": {}, "t_seam": {},
            "kv_redis": {"url": url, "timeout": SLOW, "value_timeout": SLOW, "connect_timeout": SLOW, **kv}}


def ask(where, op, key="a", headers=(), **args):
    """The answer of an operation as an object; `where`: a Chimera, or a Connection to one."""
    query = "&".join(f"{name}={value}" for name, value in {"key": key, **args}.items())
    target = f"/kv/{op}?{query}"
    r = where.request("GET", target, headers=headers) if isinstance(where, kit.Chimera) else where.ask("GET", target, headers=headers)
    assert r.status == 200, r
    return r.json()


def works(where, op="get", **args):
    return ask(where, op, **args)["error"] == "ok"


def wait_up(c, op="get", key="up", **args):
    kit.wait_for(lambda: works(c, op, key=key, **args), "Redis to be reached")


def wait_down(c, op="get", key="down", **args):
    """Asks until it is refused at once: the circuit is open."""
    def refused():
        r = ask(c, op, key=key, **args)
        return r["error"] in DOWN and not r["again"] and r
    return kit.wait_for(refused, "the circuit to open")


def at_once(answers):
    """
    Asserts that these were refused inside of their calls: nobody waited for anything. That this was quick, too, is said of the median,
    since the machine may have stood still for any of them.
    """
    assert all(r["error"] == "unavailable" and not r["again"] for r in answers), answers
    assert sorted(r["us"] for r in answers)[len(answers) // 2] < 50000, answers


def errors(c, reason):
    return c.metric("chimera_kv_errors_total", reason=reason)


def degraded(c):
    """What it has said of Redis being down; a check, or a hook that a busy machine held up, is told of by others."""
    return c.said("is degraded now", plugin="kv_redis")

