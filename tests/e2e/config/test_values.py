# SPDX-License-Identifier: Apache-2.0
"""Where values come from, and what is shown of them."""
import os
import re
import shutil

import ctl
import pytest
import tiny

import canary
import chimera as kit

CANARY = canary.of("option")
SECRETIVE = ('struct conf { const char *token, *plain; };\n'
             'static const struct ch_option opts[] = { CH_OPT(struct conf, token, STR, .flags = CH_O_SECRET, .help = "Secret"),'
             ' CH_OPT(struct conf, plain, STR, .help = "Not") };\n'
             'static int start(struct ch_self *s) { const struct conf *c = s->conf;'
             ' ch_log(s, 0, CH_INFO, "has %zu bytes", strlen(c->token)); return CH_OK; }\n')


@pytest.fixture
def dump(tmp_path, plugins):
    """{"section key": (value, origin)} of `chimerad -T`."""
    def run(text, *args, env=None, folder=plugins):
        path = tmp_path / "c.ini"
        path.write_text(text)
        done = kit.run_chimerad("-c", path, "-o", f"server.plugin_dir={folder}", "-T", *args, env=env)
        assert done.returncode == 0, done.stderr
        out, section = {}, None
        for line in done.stdout.splitlines():
            m = re.fullmatch(r"\[(.*)\]", line)
            section = m[1] if m else section
            m = re.fullmatch(r"(?:; )?([a-z_]+) = (.*?) ?; (.*)", line)
            if m:
                out[f"{section} {m[1]}"] = (m[2], m[3].replace(str(tmp_path) + "/", ""))
        run.text = done.stdout
        return out
    return run


BASE = "[server]\nprofile = dev\nlisten = 127.0.0.1:0\n"


def test_each_value_is_shown_with_its_origin(dump):
    v = dump(BASE + "[dryrun]\nseed = 7\n", "-o", "dryrun.latency=3ms", env={"CHIMERA__DRYRUN__ANSWER_TOKENS": "5"})
    assert v["dryrun seed"] == ("7", "c.ini:5")
    assert v["dryrun latency"] == ("3ms", "command line")
    assert v["dryrun answer_tokens"] == ("5", "environment CHIMERA__DRYRUN__ANSWER_TOKENS")
    assert v["dryrun default_model"] == ("dryrun", "default")
    assert v["server drain_delay"] == ("0s", "profile dev")


def test_command_line_beats_environment_beats_file_beats_profile_beats_default(dump):
    text, env, over = BASE + "drain_delay = 1s\n", {"CHIMERA__SERVER__DRAIN_DELAY": "2s"}, ["-o", "server.drain_delay=3s"]
    assert dump(text, *over, env=env)["server drain_delay"] == ("3s", "command line")
    assert dump(text, env=env)["server drain_delay"][0] == "2s"
    assert dump(text)["server drain_delay"] == ("1s", "c.ini:4")
    assert dump(BASE)["server drain_delay"] == ("0s", "profile dev")
    assert dump(BASE.replace("dev", "prod"))["server drain_delay"] == ("5s", "default")


def test_includes_are_read_in_name_order_where_they_stand(dump, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "20.ini").write_text("[dryrun]\nseed = 20\n")
    (tmp_path / "d" / "10.ini").write_text("[dryrun]\nseed = 10\nlatency = 10ms\n")
    v = dump(BASE + "include = d/*.ini\n[dryrun]\nlatency = 1ms\n")
    assert v["dryrun seed"] == ("20", "d/20.ini:2")
    assert v["dryrun latency"] == ("1ms", "c.ini:6")


@pytest.mark.parametrize("line,env,profile", [("", {}, "prod"), ("", {"CI": "1"}, "ci"), ("profile = prod\n", {"CI": "1"}, "prod"),
                                              ("profile = dev\n", {}, "dev"), ("", {"CHIMERA__SERVER__PROFILE": "dev", "CI": "1"}, "dev")])
def test_the_profile_is_the_file_s_else_ci_s_else_prod(dump, line, env, profile):
    assert dump("[server]\n" + line, env=env)["server profile"][0] == profile


def test_a_section_is_switched_off_and_on(dump):
    assert "dryrun seed" not in dump(BASE + "[dryrun]\nenabled = no\n")
    assert "dryrun seed" in dump(BASE + "[dryrun]\nenabled = no\n", env={"CHIMERA__DRYRUN__ENABLED": "yes"})
    assert "dryrun seed" in dump(BASE, "-o", "dryrun.enabled=yes")


def test_a_variable_for_what_is_not_enabled_is_a_warning(tmp_path, plugins):
    (tmp_path / "c.ini").write_text(BASE)
    done = kit.run_chimerad("-c", tmp_path / "c.ini", "-o", f"server.plugin_dir={plugins}", "-t", env={"CHIMERA__DRYRUN__SEED": "1"})
    assert done.returncode == 0 and "warning: " in done.stderr and "CHIMERA__DRYRUN__SEED" in done.stderr


def test_a_dump_is_a_config_of_the_same_values(dump, tmp_path, plugins):
    first = dump(BASE + 'drain_delay = 1s\n[dryrun]\nmodels = "a,b", "c;d", dryrun\nseed = 9\n[trace]\n')
    again = dump(dump.text)
    assert {k: v[0] for k, v in again.items()} == {k: v[0] for k, v in first.items()}


@tiny.needs_cc
@pytest.mark.parametrize("way", ["file", "quoted", "variable", "at", "environment", "command line"])
def test_a_secret_is_in_no_output(tmp_path, plugins, chimera, way):
    folder = kit.plugin_folder(str(tmp_path / "with"))
    tiny.build(folder, "t_secretive", tiny.source("t_secretive", SECRETIVE,
                                                  ".conf_size = sizeof(struct conf), .options = CH_TABLE(opts), .start = start"))
    (tmp_path / "secret").write_text(CANARY + "\n")
    os.chmod(tmp_path / "secret", 0o600)
    value = {"file": CANARY, "quoted": f'"{CANARY}"', "variable": "${CANARY}", "at": f"@{tmp_path}/secret"}.get(way)
    env = {"CANARY": CANARY} if way == "variable" else {"CHIMERA__T_SECRETIVE__TOKEN": CANARY} if way == "environment" else {}
    args = ["-o", f"server.plugin_dir={folder}"] + (["-o", f"t_secretive.token={CANARY}"] if way == "command line" else [])
    sections = {"server": {"plugin_dir": folder}, "log": {"level": "debug", "access": "all"}, "t_secretive": {"token": value}}
    c = chimera(sections, args=args, env=env)
    c.wait_said(f"has {len(CANARY)} bytes")  # the plugin has it
    done = [kit.run_chimerad("-c", c.path, *args, verb, env=env) for verb in ("-T", "-t")]
    assert "token = *** ;" in done[0].stdout
    outputs = []
    for target in ("/metrics", "/openapi.json", "/health", "/ready?verbose"):
        outputs.append(c.get(target).text)
    if shutil.which(kit.CHIMERACTL):
        for verb in (["dump"], ["dump", "--json"], ["plugins"], ["options", "t_secretive"], ["check", "--json"], ["status", "--json"]):
            done.append(ctl.run_chimeractl("-c", c.path, *args, *verb, env=env))
    c.write({"server": {"plugin_dir": folder, "workers": 3}, "t_secretive": {"token": value or CANARY, "tokn": CANARY}})
    c.signal(1)
    c.wait_said("reload refused")
    done.append(kit.run_chimerad("-c", c.path, *args, "-t", env=env))
    c.stop()
    outputs += [c.stderr()] + [d.stdout + d.stderr for d in done]
    for out in outputs:
        assert out and CANARY not in out, out


def test_a_wrong_secret_is_not_shown_in_its_error(tmp_path, plugins):
    (tmp_path / "c.ini").write_text(BASE + f"[dryrun]\nlatency = @{tmp_path}/secret\n")
    (tmp_path / "secret").write_text(CANARY)
    done = kit.run_chimerad("-c", tmp_path / "c.ini", "-o", f"server.plugin_dir={plugins}", "-t")
    assert done.returncode == 78 and "[dryrun] latency = ***" in done.stderr and CANARY not in done.stderr


@pytest.mark.parametrize("name", ["chimera.ini", "quickstart.ini"])
def test_the_shipped_files_are_right(tmp_path, plugins, name):
    path = os.path.join(kit.SRC, "conf", name)
    done = kit.run_chimerad("-c", path, "-o", f"server.plugin_dir={plugins}", "-o", f"server.state_dir={tmp_path}", "-t")
    assert done.returncode == 0 and "error" not in done.stderr and "warning" not in done.stderr, done.stderr


def test_the_contract_s_example_is_read_to_its_end(plugins):
    path = os.path.join(kit.SRC, "..", "shared", "example.ini")
    if not os.path.exists(path):
        pytest.skip("the example is not at hand")
    with open(path, encoding="utf-8") as f:
        sections = set(re.findall(r"^\[([a-z_]+)", f.read(), re.M)) - {"server", "log"}
    done = kit.run_chimerad("-c", path, "-o", f"server.plugin_dir={plugins}", "-o", "server.control=", "-t",
                            env={"OPENAI_API_KEY": "k"})
    missing = {s for s in sections if not kit.has_plugin(plugins, s)}
    assert done.returncode == (78 if missing else 0), done.stderr
    assert set(re.findall(r'there is no plugin "([a-z_]+)"', done.stderr)) == missing, done.stderr
