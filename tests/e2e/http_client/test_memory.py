# SPDX-License-Identifier: Apache-2.0
"""A share of all allocations fails (FAULTS P2), libcurl's and OpenSSL's too: calls fail with a word, and nothing is left of them."""
import json
import os
import random
import shutil
import struct
import subprocess

import chimera as kit
import pytest
from upstream import Certificates, Upstream, good

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http", "failmalloc.c")


class FailingMalloc:
    """The daemon's allocator with failmalloc.c before it; share(0.05) makes each twentieth allocation fail."""

    def __init__(self, folder, seed):
        self.file, so, self.seed = folder / "failmalloc", folder / "failmalloc.so", seed
        self.share(0)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(so), SOURCE], check=True, timeout=kit.DEADLINE)
        self.prefix = ["env", f"LD_PRELOAD={so}", f"FAILMALLOC={self.file}"]

    def share(self, share):
        with open(self.file, "r+b" if self.file.exists() else "wb") as f:  # in place: the daemon has it mapped
            f.write(struct.pack("=II", int(share * 65536), self.seed))


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_p2_failing_allocations_cost_calls_and_nothing_more(chimera, plugins, tmp_path, share):
    for name in ("http_client", "t_fetch"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc to build failmalloc.c with")
    if kit.SANITIZERS:
        pytest.skip("a sanitizer has its own malloc")
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    memory, certificates = FailingMalloc(tmp_path, seed), Certificates(tmp_path / "certificates")

    def handler(conn, line, *_):
        if line.startswith("GET /chunks"):
            return conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")
        return conn.answer(b"x" * 1000, *(["Connection: close"] if line.startswith("GET /close") else []))
    plain, secure = Upstream(handler), Upstream(handler, certificates.context())
    c = chimera({"server": {"workers": 1}, "t_fetch": {}, "http_client": {"ca_file": certificates.ca, "keepalive_timeout": "1s"}},
                prefix=memory.prefix)
    # OpenSSL stays broken if it gets no memory at its first use, and the core needs some at its first ch_turn_end.
    good(c, secure.url(), sink=True, pause_every=1)
    memory.share(share)
    outcomes = {}
    for i in range(300):
        server, path = ((plain, "/"), (plain, "/close"), (secure, "/chunks"), (secure, "/close"), (plain, "/chunks"))[i % 5]
        # by address: libc's resolver ends the process when it gets no memory
        order = {"url": server.url(path), "sink": i % 3 == 0, "connect_timeout_ms": 500, "first_byte_timeout_ms": 500,
                 "total_timeout_ms": 2000, "pause_every": 500 if i % 6 == 0 else 0}
        try:
            r = c.request("POST", "/t/fetch", json.dumps(order))
            outcome = r.json()["error_name"] if r.status == 200 else r.status
            if outcome == "ok":
                assert r.json()["body_n"] == 1000 and not r.json()["wrong"]
        except (kit.Closed, kit.BadAnswer, ConnectionError) as e:
            outcome = type(e).__name__
        assert c.alive, f"chimerad died at call {i} {order}:\n{c.stderr()}"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(outcomes)
    assert outcomes.get("ok", 0) > 0 and len(outcomes) > 1
    memory.share(0)
    for server in (plain, secure):
        for _ in range(3):
            good(c, server.url())
    kit.wait_for(lambda: c.metric("chimera_http_client_running") == 0, "no call under way")
    kit.wait_for(lambda: c.metric("chimera_http_client_connections") == 0, "no connection left")
    plain.close()
    secure.close()
