# SPDX-License-Identifier: Apache-2.0
"""The log of a running server: rotated, closed, blocked (FAULTS P16)."""
import json
import os
import signal
import subprocess
import sys

import chimera as kit

ACCESS = {"access": "all", "level": "debug"}


def test_after_logrotate_lines_go_to_the_new_file(gated, tmp_path):
    log = tmp_path / "chimera.log"
    c = gated({"log": {"target": log, **ACCESS}}, wait=False)
    kit.wait_for(lambda: log.exists() and '"ready"' in log.read_text(), "ready")
    public = next(json.loads(line)["addr"] for line in log.read_text().splitlines() if '"class":"public"' in line)
    address = ("127.0.0.1", int(public.rsplit(":", 1)[1]))
    os.rename(log, tmp_path / "chimera.log.1")
    c.signal(signal.SIGHUP)
    kit.wait_for(log.exists, "the new file")
    with kit.Connection(address) as s:
        assert s.ask("GET", "/hello?after").status == 200
    kit.wait_for(lambda: '"http.route":"/hello"' in log.read_text(), "the access line in the new file")
    assert "/hello" not in (tmp_path / "chimera.log.1").read_text()
    assert [json.loads(line) for line in log.read_text().splitlines()]


def test_a_log_that_cannot_be_opened_is_one_sentence(tmp_path, plugins):
    (tmp_path / "c.ini").write_text(f"[server]\nprofile = dev\nplugin_dir = {plugins}\nstate_dir = {tmp_path}\nlisten = 127.0.0.1:0\n"
                                    "[log]\ntarget = /nowhere/x.log\n")
    done = kit.run_chimerad("-c", tmp_path / "c.ini")
    assert done.returncode == 69 and "/nowhere/x.log" in done.stderr and done.stderr.count("\n") == 1, done


# Starts a program with what a careless parent leaves it: closed standard streams, or a pipe in place of stderr that nobody reads.
CARELESS = """
import os, sys
how, *words = sys.argv[1:]
if how == "pipe":
    r, w = os.pipe()
    os.set_inheritable(r, True)
    os.dup2(w, 2)
    os.close(w)
else:
    for fd in map(int, how.split(",")):
        os.close(fd)
os.execvp(words[0], words)
"""


def port_of(c, cls="public"):
    """The port that a server listens on that cannot say it: from the kernel's tables, by the inodes of its descriptors."""
    def look():
        inodes = set()
        for fd in os.listdir(f"/proc/{c.pid}/fd"):
            try:
                inodes.add(os.readlink(f"/proc/{c.pid}/fd/{fd}"))
            except OSError:
                pass
        ports = set()
        with open("/proc/net/tcp", encoding="ascii") as f:
            for line in f.readlines()[1:]:
                words = line.split()
                if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                    ports.add(int(words[1].split(":")[1], 16))
        return ports
    wanted = c.fixed[cls]
    return kit.wait_for(lambda: wanted in look() and wanted, f"port {wanted} to be listened on")


def start_careless(gated, how, log):
    public, status = kit.free_port(), kit.free_port()
    c = gated({"server": {"listen": f"127.0.0.1:{public}", "status_listen": f"127.0.0.1:{status}"}, "log": log}, wait=False,
              prefix=[sys.executable, "-c", CARELESS, how])
    c.fixed = {"public": public, "status": status}
    port_of(c)
    return c


def get(c, path, cls="public"):
    with kit.Connection(("127.0.0.1", c.fixed[cls])) as s:
        return s.ask("GET", path)


def test_closed_standard_streams_are_no_harm(gated):
    for how in ("0,1,2", "1", "2", "0"):
        c = start_careless(gated, how, {"target": "stdout" if how == "1" else "stderr", **ACCESS})
        for _ in range(20):
            assert get(c, "/hello").body == b"hello"
        for fd in (0, 1, 2):
            assert not os.readlink(f"/proc/{c.pid}/fd/{fd}").startswith("socket:"), "a connection became a standard stream"
        c.stop()


def test_a_pipe_that_nobody_reads_costs_lines_and_no_requests(gated):
    c = start_careless(gated, "pipe", ACCESS)

    def dropped():
        text = get(c, "/metrics", "status").text
        return sum(v for n, _, v in kit.parse_metrics(text) if n == "chimera_log_dropped_total")

    def ask_many():
        with kit.Connection(("127.0.0.1", c.fixed["public"])) as s:
            s.send(kit.request_bytes("GET", "/hello") * 500)
            for _ in range(500):
                assert s.response().body == b"hello"
        return dropped() > 0
    kit.wait_for(ask_many, "the first lost line: 64 KiB of pipe and 1 MiB of ring to be full")
    assert get(c, "/hello").status == 200
    c.stop()


def test_a_full_disk_costs_lines_and_no_requests(gated):
    c = gated({"log": {"target": "/dev/full", **ACCESS}, "server": {"listen": "127.0.0.1:%d" % kit.free_port()}}, wait=False)
    text = kit.wait_for(lambda: os.path.exists(c.path) and open(c.path, encoding="utf-8").read(), "the config")
    port = int(next(line for line in text.splitlines() if line.startswith("listen")).rsplit(":", 1)[1])

    def up():
        try:
            with kit.Connection(("127.0.0.1", port)) as s:
                return s.ask("GET", "/hello").status == 200
        except ConnectionRefusedError:
            return False
    kit.wait_for(up, "an answer")
    with kit.Connection(("127.0.0.1", port)) as s:
        for _ in range(100):
            assert s.ask("GET", "/hello").status == 200
    c.stop()


def test_the_program_runs_without_any_stream_to_say_its_version():
    done = subprocess.run([sys.executable, "-c", CARELESS, "0,1,2", kit.CHIMERAD, "-V"], env=kit.clean_environment(), check=False)
    assert done.returncode == 0
