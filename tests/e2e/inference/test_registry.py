# SPDX-License-Identifier: Apache-2.0
"""model_registry in a server and without one: chimeractl models, /health, what the config may say."""
import hashlib
import json
import os
import signal
import subprocess

import pytest

import chimera as kit

OK, REFUSED, USAGE, CONFIG_ERROR = 0, 1, 64, 78
CALM = {"disk_free_warn": "0%", "disk_free_critical": "0%", "memory_used_warn": "100%", "memory_used_critical": "100%"}


@pytest.fixture(autouse=True)
def needs_it(plugins):
    if not kit.has_plugin(plugins, "model_registry"):
        pytest.skip("model_registry is not built")


class Models:
    """A folder of model files, and the config of them."""

    def __init__(self, folder):
        self.folder, self.rows = folder, {}
        folder.mkdir()

    def add(self, name, file, content=None, **keys):
        """content None: no file. sha256 True: the right one."""
        if content is not None:
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if keys.get("sha256") is True:
            keys["sha256"] = hashlib.sha256(content).hexdigest()
        self.rows[f"model_registry.{name}"] = keys
        return self

    def config(self, **sections):
        return {"health": CALM, "model_registry": {"dir": self.folder}, **self.rows, **sections}


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path / "models")


def go(c, *args, code=OK):
    done = subprocess.run([kit.CHIMERACTL, "-c", c.path, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=kit.clean_environment(), timeout=kit.DEADLINE, check=False)
    assert not kit.REPORTS.search(done.stderr.encode()), done.stderr
    assert done.returncode == code, done
    return done


@pytest.fixture(params=["live", "offline"])
def serve(request, chimera, plugins, tmp_path):
    """serve(config): a server with it, or a config of one that does not run."""
    def make(config):
        if request.param == "live":
            return chimera(config)
        (tmp_path / "away").mkdir()
        return kit.Chimera(tmp_path / "away", plugins, config)
    return make


def test_the_list_says_what_is_there(models, serve):
    c = serve(models.add("gemma3:latest", "gemma3_latest", b"abc", revision="2025-03", context=8192).add("late", "late").config())
    lines = go(c, "models", "list").stdout.splitlines()
    assert [line.split(None, 5) for line in lines] == [
        ["name", "backend", "revision", "context", "size", "state"],
        ["gemma3:latest", "-", "2025-03", "8192", "3", "B  there"],
        ["late", "-", "-", "-", "-", "missing: there is no such file"]]


def test_verify_compares_each_file(models, serve):
    content = os.urandom(3 << 20)
    other = "0" * 64
    models.add("good", "good", content, sha256=True).add("hub/Good-2", "deep/er/file", content, sha256=True, path="deep/er/file")
    c = serve(models.config())
    assert go(c, "models", "verify").stdout == "good  ok\nhub/Good-2  ok\n"
    models.add("bad", "bad", b"abc", sha256=other).add("gone", "gone", sha256=other)
    c.write(models.config())
    if c.process:
        go(c, "reload")
    done = go(c, "models", "verify", code=REFUSED)
    assert done.stdout == ("good  ok\nhub/Good-2  ok\n"
                           f"bad  differs: expected {other}, found {hashlib.sha256(b'abc').hexdigest()}\n"
                           "gone  missing: there is no such file\n")
    assert done.stderr.splitlines()[-1] == "chimeractl: 2 of 4 models are not as the config says"
    assert go(c, "models", "verify", "good").stdout == "good  ok\n"
    assert "did you mean good" in go(c, "models", "verify", "goood", code=REFUSED).stderr


def test_programs_see_how_far_it_is(models, serve):
    size = 64 << 20
    c = serve(models.add("big", "big", bytes(size), sha256=True).config())
    docs = [json.loads(line) for line in go(c, "--json", "models", "verify").stdout.splitlines()]
    far = [doc["progress"] for doc in docs if "progress" in doc]
    assert far[-1] == {"done": size, "total": size, "what": "big"}
    assert {"out": "big  ok\n"} in docs and docs[-1] == {"exit": 0}


def test_a_file_larger_than_memory_may_be_takes_no_memory(models, chimera):
    c = chimera(models.add("big", "big", b"").config())
    os.truncate(models.folder / "big", 512 << 20)
    go(c, "models", "list")
    before = c.rss()
    want = "9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767"  # of 512 MiB of zeros, by coreutils' sha256sum
    assert want in go(c, "models", "verify").stdout
    assert c.rss() - before < 16 << 20


def test_who_gives_up_stops_the_reading(models, chimera):
    c = chimera(models.add("huge", "huge", b"").config())
    huge = str(models.folder / "huge")
    os.truncate(huge, 1 << 40)

    def reads():
        fds = f"/proc/{c.pid}/fd"
        return any(os.path.exists(os.path.join(fds, fd)) and os.readlink(os.path.join(fds, fd)) == huge for fd in os.listdir(fds))

    with subprocess.Popen([kit.CHIMERACTL, "-c", c.path, "models", "verify"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=kit.clean_environment()) as p:
        kit.wait_for(reads, "the file to be read")
        p.send_signal(signal.SIGINT)
        p.wait(kit.DEADLINE)
    c.wait_said("command models: given up by its asker", plugin="model_registry")
    kit.wait_for(lambda: not reads(), "the end of the reading")


def capabilities(c):
    return {k: v for k, v in c.get("/health").json()["capabilities"].items() if k.startswith("model_registry")}


def test_health_shows_each_model_and_notices_a_file_that_comes(models, chimera):
    models.add("here", "here", b"x").add("late:1", "late_1")
    c = chimera(models.config(health={**CALM, "check_interval": "100ms"}))
    assert capabilities(c) == {"model_registry": True, "model_registry.here": True, "model_registry.late:1": False}
    kit.wait_for(lambda: "[+]model_registry.files degraded: 1 of 2 files not there: late:1" in c.get("/ready?verbose").text, "the check")
    assert c.get("/ready").status == 200
    c.wait_said("the file of model late:1 is not there", plugin="model_registry")
    (models.folder / "late_1").write_bytes(b"x")
    kit.wait_for(lambda: capabilities(c)["model_registry.late:1"], "the file")
    c.wait_said("the file of model late:1 is there now", plugin="model_registry")
    assert c.stderr().count("late:1 is not there") == 1


def test_a_reload_changes_what_is_shown(models, chimera):
    c = chimera(models.add("a", "a", b"x").config())
    del models.rows["model_registry.a"]
    c.write(models.add("b", "b", b"x").config())
    go(c, "reload")
    assert capabilities(c) == {"model_registry": True, "model_registry.b": True}


def test_nothing_outside_of_the_folder_is_read(models, serve, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink(tmp_path / "secret", models.folder / "link")
    os.symlink(tmp_path, models.folder / "up")
    c = serve(models.add("link", "link").add("up", "up", path="up/secret").config())
    done = go(c, "models", "verify", code=REFUSED)
    why = "missing: a symbolic link is on the way, which is not followed"
    assert done.stdout == f"link  {why}\nup  {why}\n"
    assert hashlib.sha256(b"secret").hexdigest() not in done.stdout + done.stderr


@pytest.mark.parametrize("row,keys,words", [
    ("a b", {}, "no name of a model"),
    ("a", {"path": "../secret"}, 'part "..": it stands below `dir` and may not leave it'),
    ("a", {"path": "/etc/passwd"}, "must not be absolute"),
    ("a", {"sha256": "abc"}, "64 hexadecimal digits"),
    ("a", {"backend": "nosuch"}, '"nosuch" is no instance: name the id of an enabled one'),
])
def test_check_refuses_what_is_wrong(models, plugins, tmp_path, row, keys, words):
    (tmp_path / "away").mkdir()
    c = kit.Chimera(tmp_path / "away", plugins, models.add(row, "x", **keys).config())
    done = go(c, "check", code=CONFIG_ERROR)
    assert words in done.stderr and f"{c.path}:" in done.stderr


def test_a_backend_that_is_enabled_is_known_without_the_server_too(models, serve):
    c = serve(models.add("a", "a", b"x", backend="prometheus").config())  # any instance will do
    assert "prometheus" in go(c, "models", "list").stdout


def test_the_folder_is_below_state_dir(chimera):
    c = chimera({"model_registry": {}, "model_registry.a": {}})
    folder = os.path.join(c.state, "models")
    c.wait_said(f"the file of model a is not there: {folder}/a: there is no such file", plugin="model_registry")
    os.mkdir(folder)
    with open(os.path.join(folder, "a"), "wb"):
        pass
    assert go(c, "models", "list").stdout.splitlines()[1].endswith("0 B  there")
