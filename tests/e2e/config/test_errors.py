# SPDX-License-Identifier: Apache-2.0
"""What a config can have wrong: one sentence with file and line, exit code 78, nothing started (FAULTS P6, P7)."""
import os
import re
import time

import pytest
import tiny

import chimera as kit

CONFIG_ERROR = 78


@pytest.fixture
def check(tmp_path, plugins):
    """Runs a config text as `chimerad -t` and for real: (exit code, lines of stderr), which are the same for both."""
    def run(text, folder=plugins, args=(), env=None):
        path = tmp_path / "c.ini"
        path.write_text(text)
        (tmp_path / "state").mkdir(exist_ok=True)
        args = ["-c", path, "-o", f"server.plugin_dir={folder}", "-o", f"server.state_dir={tmp_path}/state",
                "-o", "server.control=control.sock", *args]
        checked = kit.run_chimerad(*args, "-t", env=env)
        if checked.returncode:  # what is right would serve on
            real = kit.run_chimerad(*args, env=env)
            assert (real.returncode, real.stderr) == (checked.returncode, checked.stderr)
            assert os.listdir(tmp_path / "state") == [], "something was started"
        assert checked.stdout == ""
        return checked.returncode, checked.stderr.replace(str(tmp_path) + "/", "").splitlines()
    return run


DEV = "[server]\nprofile = dev\nlisten = 127.0.0.1:0\n"


def refused(check, text, *wanted, **kw):
    """Asserts exit 78 and that there is exactly one line, which holds all that is wanted."""
    code, lines = check(text, **kw)
    assert code == CONFIG_ERROR, lines
    errors = [line for line in lines if "error: " in line]
    assert len(errors) == 1, lines
    for words in wanted:
        assert words in errors[0], errors[0]
    return errors[0]


@pytest.mark.parametrize("text,place,words", [
    ("wrokers = 3\n", "c.ini:4: error: [server] wrokers", 'did you mean "workers"?'),
    ("workers = many\n", "c.ini:4: error: [server] workers = many", "auto, or a whole number from 1 to 64"),
    ("drain_delay = soon\n", "c.ini:4: error: [server] drain_delay = soon", "a duration such as 250ms, 5s"),
    ("max_connections = 0\n", "c.ini:4: error: [server] max_connections = 0", "1"),
    ("open_access = perhaps\n", "c.ini:4: error: [server] open_access = perhaps", "yes"),
    ("drain_delay = 9s\ndrain_timeout = 8s\n", "c.ini:4: error: [server] drain_delay = 9s", "drain_timeout"),
    ("trusted_proxies = 10.0.0.0/99\n", "c.ini:4: error: [server] trusted_proxies", "10.0.0.0/8"),
    ("[dryrum]\n", "c.ini:4: error: [dryrum]", "did you mean [dryrun]?"),
    ("[zzzzzzzz]\n", "c.ini:4: error: [zzzzzzzz]", "there is no plugin"),
    ("[log]\nlevel = loud\n", "c.ini:5: error: [log] level = loud", "debug, info, warn, error"),
    ("[log]\nlevel = info\nlevel = warn\n", "c.ini:6: error: [log] level", "5"),
    ("[log\n", "c.ini:4: error: ", "]"),
    ("what is this\n", "c.ini:4: error: ", "="),
    ("[trace]\ntrust_incoming = sometimes\n", "c.ini:5: error: [trace] trust_incoming = sometimes", "always, proxies, never"),
    ("[dryrun]\nlatency = ${NO_SUCH_VARIABLE}\n", "c.ini:5: error: [dryrun] latency", "NO_SUCH_VARIABLE"),
    ("[dryrun]\nseed = @missing\n", "c.ini:5: error: [dryrun] seed", "missing"),
    ("include = absent.ini\n", "c.ini:4: error: [server] include", "absent.ini"),
    ("[ask]\n", "c.ini:4: error: [ask]", "nothing that is enabled provides inference/1: add a section, [dryrun]"),
    ("[dryrun]\n[dryrun:two]\n[ask]\n", "c.ini:6: error: [ask]", "add a section [router], which chooses between them"),
    ("[router]\n[ask]\n", "c.ini:4: error: [router]", "provides inference/1: add a section, [dryrun]"),
    ("[ask]\nbackend = nobody\n", "c.ini:5: error: [ask] backend = nobody", "no enabled section has the id 'nobody'"),
    ("[trace]\n[ask]\nbackend = trace\n", "c.ini:6: error: [ask] backend = trace", "[trace] provides no inference/1"),
], ids=lambda v: v.replace("\n", " ").strip() if isinstance(v, str) and v.endswith("\n") else "")
def test_each_mistake_is_one_sentence_with_its_place(check, text, place, words):
    line = refused(check, DEV + text, words)
    assert line.startswith(place), line


def test_all_errors_are_told_at_once(check):
    code, lines = check("[server]\nprofile = dev\nlisten = nonsense\nwrokers = 3\ndrain_delay = soon\n[nosuch]\n"
                        "[dryrun]\nlatency = 5 parsecs\nsed = 4\n[log]\nlevel = loud\n")
    assert code == CONFIG_ERROR
    assert sorted(int(re.match(r"c\.ini:(\d+): error: ", line)[1]) for line in lines) == [3, 4, 5, 6, 8, 9, 11], lines


def test_errors_of_included_files_name_those(check, tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.ini").write_text("[dryrun]\n")
    (tmp_path / "conf.d" / "20.ini").write_text("\n\n[dryrun]\nsed = 1\n")
    assert refused(check, DEV + "include = conf.d/*.ini\n").startswith('conf.d/20.ini:4: error: [dryrun] sed: ')


def test_a_missing_file_is_said_so():
    done = kit.run_chimerad("-c", "/nowhere/c.ini")
    assert done.returncode == CONFIG_ERROR and done.stderr.count("\n") == 1
    assert "/nowhere/c.ini" in done.stderr and "No such file" in done.stderr and "-c" in done.stderr


def test_a_folder_instead_of_a_file_is_said_so(tmp_path):
    done = kit.run_chimerad("-c", tmp_path)
    assert done.returncode == CONFIG_ERROR and "not a regular file" in done.stderr


def test_100_megabytes_are_refused_without_being_read(tmp_path):
    path = tmp_path / "big.ini"
    with open(path, "wb") as f:
        f.truncate(100 << 20)
    begin = time.monotonic()
    done = kit.run_chimerad("-c", path)
    assert done.returncode == CONFIG_ERROR and "larger than 1024 KiB" in done.stderr
    print(f"refused after {time.monotonic() - begin:.3f} s")


def test_a_megabyte_of_garbage_is_refused_with_few_lines(check):
    seed = kit.seeded()
    text = "".join(chr(seed.choice([10, 91, 93, 61, 59, 35, 36, 64, 34, 92, 65, 97, 46, 58, 32, 123, 125])) for _ in range(300000))
    code, lines = check(text)
    assert code == CONFIG_ERROR and 0 < len(lines) < 700


def test_control_characters_of_a_config_never_reach_the_terminal(check):
    code, lines = check(DEV + "\x1b[31mred = \x07\n[\x1b]0;title\x07]\n")
    assert code == CONFIG_ERROR and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", "\n".join(lines))


@pytest.mark.parametrize("args,code", [(["-x"], 64), (["surplus"], 64), (["-c"], 64), (["-h"], 0), (["-V"], 0)])
def test_a_wrong_command_line_is_64(args, code):
    assert kit.run_chimerad(*args).returncode == code


# ---- plugins ----------------------------------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "plugins"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    return path


def test_a_so_that_is_none_is_refused(check, folder):
    (folder / "t_text.so").write_text("this is no ELF file\n")
    (folder / "t_text.so").chmod(0o755)
    assert refused(check, DEV + "[t_text]\n", "plugins/t_text.so", folder=folder).startswith("c.ini:4: error: [t_text]")


@tiny.needs_cc
def test_a_library_that_is_no_plugin_is_refused(check, folder):
    tiny.build(folder, "t_lib", "int answer(void) { return 42; }")
    assert refused(check, DEV + "[t_lib]\n", "t_lib.so is no chimera plugin", "ch_plugin_v1", folder=folder).startswith("c.ini:4: ")


@tiny.needs_cc
def test_a_plugin_that_lacks_a_symbol_is_refused(check, folder):
    tiny.build(folder, "t_lacks", tiny.source(
        "t_lacks", "extern int no_such_function(void); static int start(struct ch_self *s) { return no_such_function(); }",
        ".start = start"))
    refused(check, DEV + "[t_lacks]\n", "t_lacks.so cannot be loaded", "no_such_function", folder=folder)


@tiny.needs_cc
@pytest.mark.parametrize("abi", [(0, 4), (0, 6), (1, 5)], ids=str)
def test_a_plugin_of_another_abi_is_refused_with_both_versions(check, folder, abi):
    base = ".size = sizeof desc, .abi_major = %d, .abi_minor = %d" % abi
    tiny.build(folder, "t_old", tiny.source("t_old", base=base))
    refused(check, DEV + "[t_old]\n", "built for plugin interface %d.%d" % abi, "this server has 0.5", "rebuild it", folder=folder)


@tiny.needs_cc
@pytest.mark.parametrize("size", ["0", "8", "sizeof desc - 8"])
def test_a_descriptor_that_is_too_short_is_refused(check, folder, size):
    tiny.build(folder, "t_short", tiny.source("t_short", base=f".size = {size}, .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR"))
    refused(check, DEV + "[t_short]\n", "descriptor of", "t_short.so", "rebuild it", folder=folder)


@tiny.needs_cc
def test_a_plugin_without_a_descriptor_is_refused(check, folder):
    tiny.build(folder, "t_null", tiny.HEAD + "const struct ch_plugin *ch_plugin_v1(const struct ch_host *h) { return 0; }")
    refused(check, DEV + "[t_null]\n", "t_null.so returned no descriptor", folder=folder)


@tiny.needs_cc
def test_file_and_plugin_have_one_name(check, folder):
    tiny.build(folder, "t_copy", tiny.source("t_original"))
    refused(check, DEV + "[t_copy]\n", "t_copy.so calls itself 't_original'", folder=folder)


@tiny.needs_cc
def test_a_service_that_nobody_provides_is_an_error(check, folder):
    tiny.build(folder, "t_user", tiny.source("t_user", *tiny.user_of("acme/1")))
    assert refused(check, DEV + "[t_user]\n", "nothing that is enabled provides acme/1", folder=folder).startswith("c.ini:4: ")


@tiny.needs_cc
def test_a_tie_names_both_and_the_key_that_decides(check, folder):
    tiny.build(folder, "t_user", tiny.source("t_user", *tiny.user_of("acme/1")))
    tiny.build(folder, "t_one", tiny.source("t_one", *tiny.provider_of("acme/1")))
    tiny.build(folder, "t_two", tiny.source("t_two", *tiny.provider_of("acme/1")))
    text = DEV + "[t_one]\n[t_two]\n[t_user]\n"
    refused(check, text, "[t_one]", "[t_two]", "acme/1", "backend = t_one", "backend = t_two", folder=folder)
    assert check(text + "backend = t_two\n", folder=folder)[0] == 0


@tiny.needs_cc
def test_a_circle_of_services_is_an_error(check, folder):
    for name, gives, takes in (("t_hen", "hen/1", "egg/1"), ("t_egg", "egg/1", "hen/1")):
        uses, provides = tiny.user_of(takes), tiny.provider_of(gives)
        tiny.build(folder, name, tiny.source(name, uses[0] + provides[0], uses[1] + provides[1]))
    refused(check, DEV + "[t_hen]\n[t_egg]\n", "[t_hen]", "[t_egg]", "use each other", folder=folder)


@tiny.needs_cc
def test_two_routes_of_one_pattern_are_an_error(check, folder):
    for name in ("t_a", "t_b"):
        tiny.build(folder, name, tiny.source(
            name, "static int fn(struct ch_self *s, struct ch_ctx *c) { return ch_respond(c, 200, 0, 0, 0); }\n"
            'static const struct ch_route routes[] = {{ .method = "GET", .pattern = "/same", .fn = fn }};', ".routes = CH_TABLE(routes)"))
    refused(check, DEV + "[t_a]\n[t_b]\n", "its route GET /same is refused", folder=folder)


@tiny.needs_cc
def test_a_plugin_s_own_check_speaks_with_file_and_line(check, folder):
    before = ('struct conf { int64_t n; };\n'
              'static const struct ch_option opts[] = { CH_OPT(struct conf, n, INT, .def = "1", .help = "A number") };\n'
              'static int check(struct ch_self *s) { if (((const struct conf *)s->conf)->n != 13) return CH_OK;'
              ' ch_config_error(s, 0, "n", "13 brings bad luck: take 12"); return CH_ERROR; }\n')
    tiny.build(folder, "t_luck", tiny.source("t_luck", before,
                                             ".conf_size = sizeof(struct conf), .options = CH_TABLE(opts), .check = check"))
    assert refused(check, DEV + "[t_luck]\nn = 13\n", folder=folder) == "c.ini:5: error: [t_luck] n = 13: 13 brings bad luck: take 12"
    assert check(DEV + "[t_luck]\nn = 12\n", folder=folder)[0] == 0


@tiny.needs_cc
@pytest.mark.parametrize("profile,mode,ok", [("dev", 0o777, False), ("dev", 0o775, True), ("prod", 0o775, False), ("prod", 0o755, True)])
def test_what_others_may_write_is_not_loaded(check, folder, profile, mode, ok):
    so = tiny.build(folder, "t_plain", tiny.source("t_plain"))
    text = f"[server]\nprofile = {profile}\nlisten = 127.0.0.1:0\n[t_plain]\n"
    for path, rest in ((folder, so), (so, folder)):
        os.chmod(rest, 0o755)
        os.chmod(path, mode)
        if ok:
            assert check(text, folder=folder)[0] == 0
        else:
            refused(check, text, f"may be written by {'everybody' if mode & 2 else 'its group'}", "chmod go-w", folder=folder)


def test_a_plugin_dir_that_is_not_there_is_said_so(check, tmp_path):
    refused(check, DEV + "[dryrun]\n", "dryrun", "nowhere", folder=tmp_path / "nowhere")


# ---- protected mode -----------------------------------------------------------------------------------------------------------

PROD = "[server]\nprofile = prod\nlisten = %s\n[trace]\n"


def test_a_colon_in_a_row_s_place_is_seen(check):
    code, lines = check("[dryrun]\n[router]\n[router:gpt-4]\n[ask]\n")
    assert code == CONFIG_ERROR
    assert any("error: [ask]" in line and "or write [router.gpt-4] if a row of [router] was meant" in line for line in lines), lines


@pytest.mark.parametrize("address", ["0.0.0.0:0", "*:0", "[::]:0", "192.0.2.1:80"])
def test_prod_does_not_serve_the_world_without_keys(check, address):
    refused(check, PROD % address, "can be reached from other machines", "open_access = yes")
    assert check(PROD % address, args=["-o", "server.open_access=yes"])[0] == 0


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.3.2.1:0", "[::1]:0", "localhost:0", "unix:/tmp/x.sock"])
def test_prod_serves_its_own_machine(check, address):
    assert check(PROD % address)[0] == 0


def test_a_name_to_listen_on_is_refused_before_the_start(check):
    refused(check, DEV.replace("127.0.0.1:0", "gateway.example:80"), "listen = gateway.example:80", "numeric address")


def test_open_access_starts_in_prod(chimera):
    c = chimera({"server": {"profile": "prod", "listen": "0.0.0.0:0", "control": "control.sock", "drain_delay": "0s",
                            "open_access": "yes"}})
    assert c.get("/health/live", kind="status").status == 200
