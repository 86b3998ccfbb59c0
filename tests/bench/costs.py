# SPDX-License-Identifier: Apache-2.0
"""What the plugin interface costs: a hook, and a suspended round trip. CPU per request with n of them, less that without, by n."""

from measure import Row, count, one_answer, under_load
from servers import request

HOOKS = 512  # many times the noise of a request's CPU
TIMES = {"/turn": ("resumed at the end of the turn", 500), "/post": ("resumed by ch_post to its own loop", 500),
         "/offload": ("through a pool thread, by ch_offload", 16)}


def price(with_n, without, n):
    """Nanoseconds each, of CPU times in microseconds of rounds side by side."""
    return [(a - b) * 1000 / n for a, b in zip(with_n, without)]


def in_turn(kinds, rounds, measure):
    """{kind: [a value of measure(kind) for each round]}, another kind first each time."""
    got = {kind: [] for kind in kinds}
    order = list(kinds)
    for _ in range(rounds):
        for kind in order:
            got[kind].append(measure(kind))
        order.append(order.pop(0))
    return got


# ---- hooks -----------------------------------------------------------------------------------------------------------------


def hook_part(maker, options):
    maker.plugin("b_hooks", flags=["-DNAME=b_hooks", f"-DHOOKS={HOOKS}"])
    maker.plugin("b_hook", "b_hooks.c", ["-DNAME=b_hook", "-DHOOKS=1"])
    base = "[b_static]\n"
    configs = {"none": base, "one": f"{base}[b_hooks]\n", "many": base + "".join(f"[b_hook:i{i}]\n" for i in range(HOOKS))}
    named = {"one": f"{HOOKS} of one plugin", "many": f"one each of {HOOKS} instances"}
    req, part = request("/static"), "a hook that does nothing"
    makers = {kind: lambda config=config, **how: maker.chimera(config, **how) for kind, config in configs.items()}

    def measure(kind):
        with makers[kind]() as server:
            size = sum(one_answer(server, req))
            return under_load(server, req, "/static", None, size, options, options.short, options.turns)["cpu"]

    got = in_turn(configs, options.many, measure)
    rows = [Row(part, what, "ns", price(got[kind], got["none"], HOOKS)) for kind, what in named.items()]
    counts = {kind: count(make, req, f"hook-{kind}", "/static", None, options) for kind, make in makers.items()}
    if counts["none"] is not None:
        rows += [Row(part, f"instructions, {what}", "", [(counts[kind] - counts["none"]) / HOOKS]) for kind, what in named.items()]
    return rows


# ---- suspended round trips -------------------------------------------------------------------------------------------------


def suspend_part(maker, options):
    maker.plugin("b_suspend")
    part, paths = "a suspended round trip", ["/none", *TIMES]

    def make(path, **how):
        return maker.chimera(f"[b_suspend]\ntimes = {TIMES[path][1] if path in TIMES else 1}\n", **how)

    def measure(path):
        with make(path) as server:
            req = request(path)
            size = sum(one_answer(server, req))
            return under_load(server, req, path, None, size, options, options.short, options.turns)["cpu"]

    got = in_turn(paths, options.many, measure)
    rows = [Row(part, what, "ns", price(got[path], got["/none"], n)) for path, (what, n) in TIMES.items()]
    bound = lambda path: lambda **how: make(path, **how)
    counts = {path: count(bound(path), request(path), f"suspend-{path[1:]}", path, None, options) for path in paths}
    if counts["/none"] is not None:
        rows += [Row(part, f"instructions, {what}", "", [(counts[path] - counts["/none"]) / n]) for path, (what, n) in TIMES.items()]
    return rows
