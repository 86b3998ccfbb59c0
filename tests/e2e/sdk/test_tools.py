# SPDX-License-Identifier: Apache-2.0
"""chimera-plugin and chimera-plugin-new: what is wrong is told in a sentence, by an exit code, and never by a crash or a wait."""
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

import chimera as kit

NEW = os.path.join(kit.SRC, "sdk/tools/chimera-plugin-new")
TOOL = os.environ.get("CHIMERA_PLUGIN", "chimera-plugin")
CC = os.environ.get("CC", "cc").split()
with open(os.path.join(kit.SRC, "sdk/include/chimera/plugin.h"), encoding="utf-8") as header:
    MAJOR, MINOR = map(int, re.findall(r"#define CH_ABI_M\w+ (\d+)", header.read()))
ABI = f"{MAJOR}.{MINOR}"
BAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bad.c")


def environment():
    env = kit.clean_environment({"CHIMERAD": kit.CHIMERAD, "CHIMERA_PLUGINS": kit.PLUGINS, "DEBFULLNAME": "Ada L",
                                 "DEBEMAIL": "ada@example.org"})
    env.pop("PKG_CONFIG_PATH", None)
    return env


def run(*argv, cwd=None):
    return subprocess.run([str(a) for a in argv], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=kit.DEADLINE, check=False)


def compile_bad(so, *defines, flags=("-Wl,-z,now", "-Wl,-z,defs")):
    """bad.c with one mistake, into `so` in one step."""
    new = f"{so}.new"
    subprocess.run([*CC, "-std=gnu11", "-O1", "-w", "-fPIC", "-shared", "-fvisibility=hidden", "-I", os.path.join(kit.SRC, "sdk/include"),
                    *(f"-D{d}" for d in defines), *flags, "-o", new, BAD], check=True, stdin=subprocess.DEVNULL)
    os.rename(new, so)
    return so


def check(so, *args):
    return run(TOOL, "check", *args, so)


# ---- check ---------------------------------------------------------------------------------------------------------------------

def test_a_plugin_that_is_well_is_told_in_one_line(tmp_path):
    so = compile_bad(tmp_path / "bad.so")
    done = check(so)
    assert done.stdout == (f"{so}: ok: bad 1 for plugin interface {ABI}: 1 option, 1 metric, 1 hook, 1 route, 1 check, 1 cron, 1 command, "
                           "1 seam\n"), done.stderr
    assert done.returncode == 0


def test_our_own_plugins_and_templates_are_well():
    folders = [kit.PLUGINS] + [os.path.join(kit.PLUGINS, "../../sdk/templates", t, ".libs") for t in os.listdir(os.path.join(kit.SRC,
               "sdk/templates"))]
    files = [os.path.join(f, n) for f in folders if os.path.isdir(f) for n in sorted(os.listdir(f)) if n.endswith(".so")]
    assert len(files) > 5
    done = run(TOOL, "check", *files)
    assert done.returncode == 0, done.stdout
    assert len(re.findall(r"(?m): ok: ", done.stdout)) == len(files), done.stdout


WRONG = [
    ("BAD_RANGE", "option number has the range from 10 to 1, in which there is nothing"),
    ("BAD_BOUND", "option number: its min 'some' "),
    ("BAD_DEFAULT", "option number: its def '11' "),
    ("BAD_DEV_DEFAULT", "option number: its dev_def 'many' "),
    ("BAD_NO_DEFAULT", "option number has no def, and what it is then, 0, lies outside its range"),
    ("BAD_TWO_EQUAL", "two options are called number: rows 0 and 1"),
    ("BAD_OVERLAP", "option other takes the same bytes of the config struct as number"),
    ("BAD_OFFSET", "option far takes the bytes 4096 to 4103 of a config struct of "),
    ("BAD_TYPE", "option odd has the type 99, which there is not"),
    ("BAD_OPTION_NAME", "option 0 is called 'Number One': a name is lower snake case"),
    ("BAD_OPTION_TAKEN", "option enabled: that key is the host's own"),
    ("BAD_ENUM", "option word: its def 'c' "),
    ("BAD_ENUM_EMPTY", "option word is an ENUM without values"),
    ("BAD_ENUM_TWICE", "option word has the value 'a' twice"),
    ("BAD_SERVICE_OPTION", "option service is bound to a service and does not say which"),
    ("BAD_WATCH", "option number is CH_O_WATCH and no path"),
    ("BAD_RELOAD", "option number is both CH_O_RELOAD and CH_O_RESTART"),
    ("BAD_FLAG", "option number has the flags 0x40000000"),
    ("BAD_UNIT", "option number: 'ms' is no unit of a number"),
    ("BAD_VARIABLE", "option number: 'bad-number' can be no variable of the environment"),
    ("BAD_PATTERN", "route 0 (GET /v1/{bad) is refused: a part must be a whole segment"),
    ("BAD_PATTERN_OPTION", "route 0 takes its pattern from the option 'number', which is no STR option"),
    ("BAD_METHOD", "route 0 (FETCH /v1/bad) is refused: its method FETCH is none of GET, "),
    ("BAD_TWO_ROUTES", "route 1 (GET /v1/bad) is refused: "),
    ("BAD_SCHEMA", "route 0 (GET /v1/bad): its response_schema is no JSON, at byte 17"),
    ("BAD_CLASS", "route 0 (GET /v1/bad) has the class 7"),
    ("BAD_BODY", "route 0 (GET /v1/bad) has the body mode 7"),
    ("BAD_PHASE", "hook 0 has the phase 12, which there is not"),
    ("BAD_BAND", "hook 0 has the band 5"),
    ("BAD_NO_HOOK", "hook 0 has no function"),
    ("BAD_AFTER", "hook 0 is to run after 'Some', which can be no plugin's name"),
    ("BAD_BOTH_WAYS", "hook 0 is to run both before and after 'auth'"),
    ("BAD_METRIC", 'metric 0 is refused: metric "bad_things" is a counter, and a counter\'s name ends in _total'),
    ("BAD_TWO_METRICS", "two metrics are called bad_total: rows 0 and 1"),
    ("BAD_FOREIGN_METRIC", 'metric 0 is refused: metric "http_requests_total" is known with '),
    ("BAD_IFACE", "service 0 is called 'inference': an interface is a name and a major version"),
    ("BAD_NO_VTABLE", "service 0 (thing/1) has no vtable"),
    ("BAD_VTABLE_SIZE", "the vtable of inference/1 says that it has 0 bytes"),
    ("BAD_VTABLE", "function 2 of the vtable of inference/1 is missing"),
    ("BAD_CHECK", "check 0 is called 'Disk Space'"),
    ("BAD_WHEN", "cron 0: its time 'every day' "),
    ("BAD_NEVER", "cron 0: its time '0 0 30 2 *' never comes"),
    ("BAD_WHEN_OPTION", "cron 0 takes its time from the option 'number', which is no STR option"),
    ("BAD_MODES", "command 0 has the modes 0"),
    ("BAD_ARGUMENTS", "command 0 takes at least 2 arguments and at most 1"),
    ("BAD_SEAM", "seam 0 is 7, which there is not"),
    ("BAD_SHORT_ROWS", f"its table of hooks has rows of 32 bytes, and in plugin interface {ABI} they have 40"),
    ("BAD_LONG_ROWS", f"its table of hooks has rows of 48 bytes, and in plugin interface {ABI} they have 40"),
    ("BAD_NO_ROWS", "its table of hooks should have 3 rows and has no address"),
    ("BAD_POINTER", "its table of hooks has no rows: CH_TABLE wants the array itself, not a pointer to it"),
    ("BAD_WILD_ROWS", "it crashed by signal 11 (Segmentation fault) while its table of hooks was read"),
    ("BAD_SHORT", "the descriptor of "),
    ("BAD_TINY", "is too short (8 bytes)"),
    ("BAD_ABI", f"is built for plugin interface {MAJOR}.{MINOR + 1} and this server has {ABI}"),
    ("BAD_NAME", "calls itself 'worse': file and plugin must have one name"),
    ("BAD_NULL", "returned no descriptor"),
    ("BAD_NO_ENTRY", "it has no symbol ch_plugin_v1"),
    ("BAD_CRASH", "it crashed by signal 11 (Segmentation fault) in its entry, ch_plugin_v1"),
    ("BAD_CONSTRUCTOR", "it crashed by signal 11 (Segmentation fault) while it was loaded, before its entry was called"),
    ("BAD_EXIT", "it ended the process with exit code 3 in its entry, ch_plugin_v1"),
    ("BAD_MISSING", "undefined symbol: nowhere_at_all"),
    ("BAD_BY_ACCIDENT", "it needs lt_dlerror, and no library that it names has it"),
]


@pytest.mark.parametrize("mistake,sentence", WRONG, ids=[m for m, _ in WRONG])
def test_what_is_wrong_is_told(tmp_path, mistake, sentence):
    so = compile_bad(tmp_path / "bad.so", mistake, flags=("-Wl,-z,now",))
    done = check(so)
    assert done.returncode == 1, done.stdout
    lines = [line for line in done.stdout.splitlines() if sentence in line]
    assert lines and all(line.startswith(f"{so}: wrong: ") for line in lines), done.stdout
    assert ": ok: " not in done.stdout


UNWISE = [
    ("BAD_NO_HELP", "option number has no help"),
    ("BAD_SECRET", "option text is a secret with a default, which everybody knows"),
    ("BAD_NO_SUMMARY", "route 0 (GET /v1/bad) has no summary"),
    ("BAD_METRIC_NAME", "metric things_total does not begin with the plugin's name"),
    ("BAD_LONG", "its descriptor has "),
    ("BAD_EXPORT", "it exports bad_helper beside ch_plugin_v1"),
]


@pytest.mark.parametrize("mistake,sentence", UNWISE, ids=[m for m, _ in UNWISE])
def test_what_is_unwise_is_told_and_is_no_failure(tmp_path, mistake, sentence):
    so = compile_bad(tmp_path / "bad.so", mistake)
    done = check(so)
    assert done.returncode == 0, done.stdout
    first, last = done.stdout.splitlines()
    assert first.startswith(f"{so}: unwise: {sentence}"), done.stdout
    assert last.startswith(f"{so}: ok: bad 1 ")


def test_a_plugin_that_binds_lazily_is_unwise(tmp_path):
    done = check(compile_bad(tmp_path / "bad.so", flags=("-Wl,-z,lazy",)))
    assert done.returncode == 0
    assert ": unwise: it is not linked with -Wl,-z,now: " in done.stdout


def test_a_plugin_that_hangs_is_given_up(tmp_path):
    done = check(compile_bad(tmp_path / "bad.so", "BAD_HANG"), "--timeout", "3")
    assert done.returncode == 1
    assert ": wrong: it did not come back within 3 s in its entry, ch_plugin_v1" in done.stdout


def test_what_is_no_plugin_is_told(tmp_path):
    (tmp_path / "text.so").write_text("hello")
    (tmp_path / "plugin.txt").write_text("hello")
    assert "cannot be loaded" in check(tmp_path / "text.so").stdout
    assert "a plugin's file is called NAME.so" in check(tmp_path / "plugin.txt").stdout
    assert "it cannot be read: No such file or directory" in check(tmp_path / "none.so").stdout
    assert check(tmp_path / "none.so").returncode == 1


def test_one_bad_file_among_good_ones_is_a_failure(tmp_path):
    (tmp_path / "a").mkdir()
    good, bad = compile_bad(tmp_path / "bad.so"), compile_bad(tmp_path / "a" / "bad.so", "BAD_PHASE")
    done = run(TOOL, "check", good, bad)
    assert done.returncode == 1
    assert f"{good}: ok: " in done.stdout and f"{bad}: wrong: " in done.stdout


@pytest.mark.parametrize("args", [[], ["juggle"], ["check"], ["check", "--timeout", "x", "a.so"], ["check", "--loud", "a.so"],
                                  ["test", "a", "b"], ["test", "/nowhere-at-all"], ["run", "/nowhere-at-all"], ["run", "--set", "x"], ["run", "--port", "0"]])
def test_a_wrong_command_line_is_64(tmp_path, args):
    done = run(TOOL, *args, cwd=tmp_path)
    assert done.returncode == 64, done.stdout + done.stderr
    assert done.stdout == "" and done.stderr.startswith(("chimera-plugin: ", "usage: ")), done.stderr


def test_a_folder_that_holds_no_plugin_is_told(tmp_path):
    for verb in ("run", "test"):
        done = run(TOOL, verb, cwd=tmp_path)
        assert done.returncode == 64
        assert "holds neither a Makefile nor a plugin.am" in done.stderr


# ---- run -----------------------------------------------------------------------------------------------------------------------

class Run:
    """`chimera-plugin run` in a folder of its own."""

    def __init__(self, folder, *args):
        self.tmp = tempfile.mkdtemp(prefix="run")  # short, so that the path of a socket in it is one
        self.path = folder / "said"
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen([TOOL, "run", *map(str, args)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                                            env={**environment(), "TMPDIR": self.tmp})

    def said(self):
        return self.path.read_text(errors="replace")

    def wait_said(self, words, times=1):
        kit.wait_for(lambda: self.said().count(words) >= times, lambda: f"{words!r}; it said:\n{self.said()}")

    def wait_url(self, times=1):
        self.wait_said("runs at http://127.0.0.1:", times)
        return int(re.findall(r"runs at http://127\.0\.0\.1:(\d+)", self.said())[times - 1])

    def get(self, port, path="/v1/bad"):
        with kit.Connection(("127.0.0.1", port)) as c:
            return c.ask("GET", path).text

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(kit.DEADLINE)


@pytest.fixture
def runs(tmp_path):
    all_of_them = []

    def start(*args):
        all_of_them.append(Run(tmp_path, *args))
        return all_of_them[-1]

    yield start
    for r in all_of_them:
        if r.process.poll() is None:
            r.stop()
        shutil.rmtree(r.tmp, ignore_errors=True)


def test_a_new_file_starts_the_server_anew_on_the_same_port(tmp_path, runs):
    so = compile_bad(tmp_path / "bad.so")
    r = runs(so)
    port = r.wait_url()
    assert r.get(port) == "one"
    assert f"GET    http://127.0.0.1:{port}/v1/bad   Answer" in r.said()
    compile_bad(so, 'ANSWER="two"')
    assert r.wait_url(2) == port
    assert r.get(port) == "two"
    assert r.stop() == 0
    assert os.listdir(r.tmp) == []


def test_a_new_file_that_is_wrong_leaves_the_old_one_running(tmp_path, runs):
    so = compile_bad(tmp_path / "bad.so")
    r = runs(so)
    port = r.wait_url()
    compile_bad(so, "BAD_CRASH")
    r.wait_said("wrong: it crashed by signal 11")
    r.wait_said("the server goes on with what it had")
    assert r.get(port) == "one"


def test_a_first_file_that_is_wrong_is_waited_for_and_that_is_said(tmp_path, runs):
    so = compile_bad(tmp_path / "bad.so", "BAD_CRASH")
    r = runs(so)
    r.wait_said("wrong: it crashed by signal 11")
    r.wait_said("no server runs: put that right and build the file anew, then it is tried again; Ctrl-C ends this")
    compile_bad(so)
    assert r.get(r.wait_url()) == "one"


def test_a_first_build_that_fails_is_waited_for_and_that_is_said(tmp_path, runs):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "Makefile").write_text("all:\n\tfalse\n")
    r = runs(tmp_path / "bad")
    r.wait_said("the build failed, and make says why above")
    r.wait_said("no server runs: put that right and save a source, then it is tried again; Ctrl-C ends this")
    assert r.stop() == 0


def test_a_server_that_died_comes_back_with_the_next_save(tmp_path, runs):
    so = compile_bad(tmp_path / "bad.so", "BAD_ABORT")
    r = runs(so)
    port = r.wait_url()
    with pytest.raises(AssertionError):
        r.get(port)
    r.wait_said("the server died by signal 6")
    compile_bad(so, 'ANSWER="three"')
    assert r.wait_url(2) == port
    assert r.get(port) == "three"


def test_keys_can_be_set_and_a_bad_one_is_told(tmp_path, runs):
    so = compile_bad(tmp_path / "bad.so")
    r = runs(so, "--set", "number=soon")
    r.wait_said("number = soon")
    r.wait_said("the server ended with exit code 78: its config is wrong, as it says above. A --set stays as it was given")
    assert r.stop(signal.SIGTERM) == 0
    assert os.listdir(r.tmp) == []


def test_the_plugins_ini_is_its_config_and_saving_it_reloads(tmp_path, runs):
    (tmp_path / "bad.ini").write_text("[bad]\nnumber = 2\n")
    r = runs(compile_bad(tmp_path / "bad.so"))
    r.wait_url()
    (tmp_path / "bad.ini").write_text("[bad]\nnumber = 3\n")
    r.wait_said("[bad] number: 2 -> 3")
    (tmp_path / "bad.ini").write_text("[bad]\nnumbr = 3\n")
    r.wait_said('did you mean "number"?')


def test_a_tool_that_is_killed_takes_its_server_with_it(tmp_path, runs):
    r = runs(compile_bad(tmp_path / "bad.so"))
    port = r.wait_url()
    r.stop(signal.SIGKILL)

    def refused():
        try:
            r.get(port)
        except ConnectionRefusedError:
            return True
        except (AssertionError, ConnectionResetError):
            pass
        return False

    kit.wait_for(refused, "the server to end")


# ---- chimera-plugin-new --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name,why", [("Hello", "such as hello"), ("a b", "such as a_b"), ("1x", "is no name"), ("x", "is no name"),
                                      ("a__b", "such as a_b"), ("a_", "is no name"), ("../x", "is no name"), ("größe", "is no name"),
                                      ("ask", "'ask' is chimera's own"), ("server", "such as acme_server"), ("a" * 32, "has 32 characters"),
                                      ("x;rm -rf .", "is no name"), ("--name", "there is no option --name")])
def test_a_bad_name_is_refused(tmp_path, name, why):
    done = run(NEW, name, "--standalone", cwd=tmp_path)
    assert done.returncode == 64, done.stderr
    assert why in done.stderr and done.stderr.startswith("chimera-plugin-new: ")
    assert os.listdir(tmp_path) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "acme_x").mkdir()
    (tmp_path / "acme_x" / "mine").write_text("mine")
    done = run(NEW, "acme_x", "--standalone", cwd=tmp_path)
    assert done.returncode == 1
    assert "is there already, and nothing is overwritten" in done.stderr
    assert os.listdir(tmp_path / "acme_x") == ["mine"]
    os.symlink("/nowhere-at-all", tmp_path / "acme_y")
    assert run(NEW, "acme_y", "--standalone", cwd=tmp_path).returncode == 1


def test_a_name_without_a_prefix_is_warned_about(tmp_path):
    done = run(NEW, "hello", "--standalone", cwd=tmp_path)
    assert done.returncode == 0
    assert "'hello' has no prefix of yours" in done.stderr
    assert "warning" not in run(NEW, "acme_hello", "--standalone", cwd=tmp_path).stderr


@pytest.mark.parametrize("args,why", [(["acme_x", "--type", "wheel", "--standalone"], "there is no type 'wheel': there are command cron "),
                                      (["acme_x"], "is in no source tree of chimera: add --standalone"),
                                      (["acme_x", "acme_y"], "there are two names"), (["acme_x", "--type"], "--type wants a value")])
def test_wrong_arguments_are_64(tmp_path, args, why):
    done = run(NEW, *args, cwd=tmp_path)
    assert done.returncode == 64 and why in done.stderr, done.stderr
    assert os.listdir(tmp_path) == []


def types():
    return sorted(re.findall(r"(?m)^ {19}(\S+)", run(NEW, "--help").stdout))


@pytest.mark.parametrize("kind", types())
def test_each_type_has_its_names_everywhere(tmp_path, kind):
    done = run(NEW, "acme_my_thing", "--standalone", "--type", kind, "--dir", tmp_path / "sub" / "folder", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = {os.path.join(d, f)[len(str(tmp_path)) + 12:]: open(os.path.join(d, f), encoding="utf-8").read()
             for d, _, fs in os.walk(tmp_path / "sub/folder") for f in fs}
    assert {"Makefile", "README.md", "LICENSE", "acme_my_thing.c", "test_acme_my_thing.c", "acme_my_thing.ini", "debian/control",
            "debian/rules", "chimera-plugin-acme-my-thing.spec", ".gitignore"} <= set(files)
    for name, text in files.items():
        assert not re.search("skeleton|kv_table", text, re.IGNORECASE), name
        assert not re.search(r"@[A-Z]+@", text), name
    assert "Maintainer: Ada L <ada@example.org>" in files["debian/control"]
    assert os.access(tmp_path / "sub/folder/debian/rules", os.X_OK)


def test_inside_the_tree_it_becomes_a_folder_of_plugins(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core/chi.h").write_text("")
    (tmp_path / "sdk/include/chimera").mkdir(parents=True)
    (tmp_path / "sdk/include/chimera/plugin.h").write_text("")
    (tmp_path / "docs").mkdir()
    done = run(NEW, "acme_x", cwd=tmp_path / "docs")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "plugins/acme_x"
    assert sorted(os.listdir(folder)) == ["acme_x.c", "acme_x.ini", "greeting.c", "greeting.h", "plugin.am", "test_acme_x.c",
                                          "test_greeting.c"]
    fragment = (folder / "plugin.am").read_text()
    assert "plugin_LTLIBRARIES += plugins/acme_x.la\n" in fragment
    assert "plugins_acme_x_test_greeting_LDADD = $(HARNESS_LIBS)\n" in fragment
    for name in os.listdir(folder):
        if name.endswith((".c", ".h")):
            assert (folder / name).read_text().startswith("/* SPDX-License-Identifier: Apache-2.0 */\n"), name
    assert run(NEW, "acme_y", "--dir", tmp_path / "z", cwd=tmp_path).returncode == 64
