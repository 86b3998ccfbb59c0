# SPDX-License-Identifier: Apache-2.0
"""An author's first ten minutes, from an installed prefix alone: from nothing to a plugin that serves, keeps its state over reloads and can
be packaged. Each step is timed and printed (`make check-journey`, which names the prefix in CHIMERA_PREFIX)."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import chimera as kit

PREFIX = os.environ["CHIMERA_PREFIX"]
MINUTES = 10


def environment():
    """Nothing of the source tree, nothing of a build: what is installed, by PATH and PKG_CONFIG_PATH."""
    env = kit.clean_environment({"PKG_CONFIG_PATH": os.path.join(PREFIX, "lib/pkgconfig"), "DEBFULLNAME": "Ada L",
                                 "DEBEMAIL": "ada@example.org"})
    env["PATH"] = os.pathsep.join([os.path.join(PREFIX, "bin"), os.path.join(PREFIX, "sbin"), env["PATH"]])
    for name in ("srcdir", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CFLAGS", "LDFLAGS", "CH_TEST_SWEEP"):
        env.pop(name, None)
    return env


class Journey:
    def __init__(self):
        self.steps = []
        print()

    @contextlib.contextmanager
    def step(self, what):
        began = time.monotonic()
        yield
        self.steps.append(time.monotonic() - began)
        print(f"  {self.steps[-1]:7.2f} s  {what}")

    def run(self, *argv, cwd, what=None):
        with self.step(what or " ".join(argv)):
            done = subprocess.run(argv, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=60 * MINUTES, check=False)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def journey():
    j = Journey()
    yield j
    print(f"  {sum(j.steps):7.2f} s  in all")
    assert sum(j.steps) < 60 * MINUTES


@pytest.fixture
def no_plugins_left():
    """The prefix is as it was, whatever happened."""
    folder = os.path.join(PREFIX, "lib/chimera/plugins")
    before = set(os.listdir(folder))
    yield
    for name in set(os.listdir(folder)) - before:
        os.remove(os.path.join(folder, name))


class Server:
    """The installed chimerad with its own defaults: nothing here says where plugins are."""

    def __init__(self, folder, ini):
        self.folder = folder
        self.ini = os.path.join(folder, "chimera.ini")
        with open(self.ini, "w", encoding="utf-8") as f:
            f.write(f"[server]\nprofile = dev\nlisten = 127.0.0.1:0\nstate_dir = state\ncontrol = control.sock\ninclude = {ini}\n"
                    "[log]\nformat = text\n[prometheus]\n[dryrun]\n[ask]\n")
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(["chimerad", "-c", self.ini], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                                            env=environment())
        kit.wait_for(lambda: " ready " in self.said() or self.process.poll() is not None, self.said)
        self.port = int(re.search(r"listening addr=127\.0\.0\.1:(\d+)", self.said())[1])

    def said(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(kit.DEADLINE) == 0, self.said()


def edit(path, old, new):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


def test_journey_from_nothing_to_a_served_plugin(tmp_path, journey, no_plugins_left):
    here = str(tmp_path)
    journey.run("chimera-plugin-new", "hello", "--standalone", cwd=here)
    folder = os.path.join(here, "hello")
    journey.run("make", cwd=folder)
    assert "[  PASSED  ] 6 test(s)." in journey.run("make", "check", cwd=folder)
    assert "hello.so: ok: hello 0.1.0" in journey.run("chimera-plugin", "check", "hello.so", cwd=folder)
    said = journey.run("chimera-plugin", "test", cwd=folder)
    assert "all tests pass, with sanitizers" in said
    assert int(re.search(r"steps were tried again, with (\d+) failing allocations", said)[1]) > 10
    journey.run("make", "install", cwd=folder)

    with journey.step("chimerad"):
        server = Server(here, os.path.join(folder, "hello.ini"))
    try:
        url = f"http://127.0.0.1:{server.port}/v1/hello/ada"
        assert journey.run("curl", "-sS", url, cwd=here) == '{"greeting":"Hello, ada","times":1}'
        assert journey.run("curl", "-sS", url, cwd=here) == '{"greeting":"Hello, ada","times":2}'
        edit(os.path.join(folder, "hello.ini"), "words = Hello", "words = Good evening")
        journey.run("chimeractl", "-c", server.ini, "reload", cwd=here, what="chimeractl reload, with other words")
        assert journey.run("curl", "-sS", url, cwd=here) == '{"greeting":"Good evening, ada","times":3}'
        journey.run("chimeractl", "-c", server.ini, "reload", cwd=here, what="chimeractl reload, with the same")
        assert journey.run("curl", "-sS", url, cwd=here) == '{"greeting":"Good evening, ada","times":4}'
        shown = journey.run("chimeractl", "-c", server.ini, "plugins", "--live", cwd=here, what="chimeractl plugins --live")
        assert re.search(r"(?m)^hello +hello +0\.1\.0 ", shown), shown
        assert re.search(r"(?m)^GET +/v1/hello/\{name\} +hello", shown), shown
    finally:
        server.stop()

    journey.run("make", "dist", cwd=folder)
    assert os.path.exists(os.path.join(folder, "chimera-plugin-hello-0.1.0.tar.gz"))
    root = os.path.join(here, "root")
    journey.run("make", "install", f"DESTDIR={root}", cwd=folder, what="make install DESTDIR=")
    assert os.path.exists(f"{root}{PREFIX}/lib/chimera/plugins/hello.so")
    journey.run("make", "uninstall", cwd=folder)
    assert not os.path.exists(os.path.join(PREFIX, "lib/chimera/plugins/hello.so"))


def test_journey_of_a_change_while_it_runs(tmp_path, journey):
    """`chimera-plugin run`: a save is built, checked and served, on the same port."""
    here = str(tmp_path)
    journey.run("chimera-plugin-new", "acme_hello", "--standalone", cwd=here)
    folder, log = os.path.join(here, "acme_hello"), os.path.join(here, "log")

    def said():
        with open(log, encoding="utf-8") as f:
            return f.read()

    def get(port):
        with kit.Connection(("127.0.0.1", port)) as c:
            return c.ask("GET", "/v1/acme_hello/ada").text

    with open(log, "wb") as out, journey.step("chimera-plugin run, to the first answer"):
        tool = subprocess.Popen(["chimera-plugin", "run"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env=environment())
        kit.wait_for(lambda: "runs at " in said(), said)
        port = int(re.search(r"runs at http://127\.0\.0\.1:(\d+)", said())[1])
        assert get(port) == '{"greeting":"Hello, ada","times":1}'
    try:
        with journey.step("save, to the new answer"):
            edit(os.path.join(folder, "greeting.c"), '", ", 2', '"! ", 2')
            kit.wait_for(lambda: said().count("runs at ") == 2, said)
            assert get(port) == '{"greeting":"Hello! ada","times":1}'
        with journey.step("save a mistake, to the compiler's word"):
            edit(os.path.join(folder, "greeting.c"), "#define WORDS_MAX 256", "#define WORDS_MAX")
            kit.wait_for(lambda: "the build failed" in said(), said)
        assert get(port) == '{"greeting":"Hello! ada","times":2}'
    finally:
        tool.send_signal(signal.SIGINT)
        assert tool.wait(kit.DEADLINE) == 0


def see_hook(get, _ctl):
    answer = get("/internal/x")
    assert (answer.status, answer.header("x-served-by")) == (403, "acme_x")
    assert get("/").header("x-served-by") == "acme_x"


def see_cron(get, _ctl):
    kit.wait_for(lambda: re.search(r"(?m)^acme_x_free_bytes [1-9]", get("/metrics").text), "the first measurement")


def see_command(get, ctl):
    get("/nowhere")
    assert ctl("run", "acme_x", "show") == "1xx 0\n2xx 0\n3xx 0\n4xx 1\n5xx 0\n"
    assert ctl("run", "acme_x", "set", "4xx", "7") == ""
    assert "4xx 7\n" in ctl("run", "acme_x", "show")
    assert "4xx 0\n" in ctl("run", "--offline", "acme_x", "show")


def see_backend(get, _ctl):
    answer = get("/v1/ask", "POST", b'{"prompt":"hello"}', {"Content-Type": "application/json"}).json()
    assert (answer["backend"], answer["model"], answer["answer"]) == ("acme_x", "parrot", "You said: hello")


def see_store(get, ctl):
    assert re.search(r"(?m)^acme_x +acme_x +0\.1\.0 +\S+ +kv/1 ", ctl("plugins", "--live"))
    assert "acme_x_bytes " in get("/metrics").text


SEE = {"hook": see_hook, "cron": see_cron, "command": see_command, "service:inference": see_backend, "service:kv": see_store}


@pytest.mark.parametrize("kind", sorted(SEE))
def test_journey_of_each_type(tmp_path, journey, no_plugins_left, kind):
    """Each is what its README says."""
    here = str(tmp_path)
    journey.run("chimera-plugin-new", "acme_x", "--standalone", "--type", kind, cwd=here)
    folder = os.path.join(here, "acme_x")
    said = journey.run("make", "check", cwd=folder)
    assert "./acme_x.so: ok: acme_x 0.1.0" in said and "warning:" not in said, said
    assert "all tests pass" in journey.run("chimera-plugin", "test", cwd=folder)
    journey.run("make", "install", cwd=folder)
    ini = os.path.join(folder, "acme_x.ini")
    if kind == "cron":
        edit(ini, "when = 1m", "when = 1s")
    server = Server(here, ini)

    def get(path, method="GET", body=None, headers=()):
        with kit.Connection(("127.0.0.1", server.port)) as c:
            return c.ask(method, path, body, headers)

    def ctl(*argv):
        return subprocess.run(["chimeractl", "-c", server.ini, *argv], env=environment(), capture_output=True, text=True, check=True).stdout

    try:
        with journey.step("what its README says"):
            SEE[kind](get, ctl)
    finally:
        server.stop()


def test_journey_inside_the_tree(tmp_path, journey):
    """The other way: a folder of a copy of chimera's tree, built and tested by the tree's own build."""
    tree = str(tmp_path / "chimera")
    left = shutil.ignore_patterns("build", "build-*", ".git", "autom4te.cache", "configure", "*.o")
    shutil.copytree(kit.SRC, tree, symlinks=True, ignore=left)
    journey.run("sdk/tools/chimera-plugin-new", "acme_x", cwd=tree)
    assert "all tests pass" in journey.run("chimera-plugin", "test", "plugins/acme_x", cwd=tree)


def test_journey_knows_every_type(tmp_path):
    said = subprocess.run(["chimera-plugin-new", "--help"], env=environment(), capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"(?m)^ {19}(\S+)", said)) == sorted([*SEE, "route"])


@pytest.mark.skipif(not shutil.which("dh") or not shutil.which("dpkg-buildpackage"), reason="debhelper is missing")
def test_journey_to_a_debian_package(tmp_path, journey):
    here = str(tmp_path)
    journey.run("chimera-plugin-new", "acme_hello", "--standalone", cwd=here)
    folder = os.path.join(here, "acme_hello")
    # -d: chimera-dev is this prefix here, and no package. Its libraries are of no package either.
    journey.run("dpkg-buildpackage", "-us", "-uc", "-b", "-d", cwd=folder, what="dpkg-buildpackage")
    package = [n for n in os.listdir(here) if n.startswith("chimera-plugin-acme-hello_0.1.0_") and n.endswith(".deb")]
    assert len(package) == 1, os.listdir(here)
    content = subprocess.run(["dpkg-deb", "-c", package[0]], cwd=here, capture_output=True, text=True, check=True).stdout
    assert f".{PREFIX}/lib/chimera/plugins/acme_hello.so" in content


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is missing")
def test_journey_to_an_rpm_package(tmp_path, journey):
    here = str(tmp_path)
    journey.run("chimera-plugin-new", "acme_hello", "--standalone", cwd=here)
    folder = os.path.join(here, "acme_hello")
    journey.run("make", "dist", cwd=folder)
    # --nodeps, and where this prefix is: chimera-devel is no package here.
    journey.run("rpmbuild", "-tb", "--nodeps", "--define", f"_topdir {here}/rpm", "--define", f"_libdir {PREFIX}/lib",
                "chimera-plugin-acme-hello-0.1.0.tar.gz", cwd=folder, what="rpmbuild -tb")
    packages = [n for _, _, names in os.walk(f"{here}/rpm/RPMS") for n in names]
    assert any(n.startswith("chimera-plugin-acme-hello-0.1.0-1") for n in packages), packages
