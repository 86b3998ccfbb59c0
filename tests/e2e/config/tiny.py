# SPDX-License-Identifier: Apache-2.0
"""Plugins of a few lines, compiled by the test that needs them: what an operator may find in plugin_dir one day."""
import os
import shutil
import subprocess

import pytest

import chimera as kit

CC = os.environ.get("CC", "gcc").split()[0]
needs_cc = pytest.mark.skipif(not shutil.which(CC), reason=f"there is no compiler {CC}")

HEAD = "#include <chimera/plugin.h>\n#include <fcntl.h>\n#include <unistd.h>\n#include <stdlib.h>\n"
BASE = ".size = sizeof desc, .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .version = \"1\", .summary = \"A test\""


def source(name, before="", fields="", base=BASE):
    """A plugin whose descriptor has these further fields."""
    return f'{HEAD}{before}\nstatic const struct ch_plugin desc = {{ {base}, .name = "{name}", {fields} }};\nCH_PLUGIN({name}, desc)\n'


def build(folder, file, text):
    """Compiles `text` to folder/file.so."""
    path = os.path.join(str(folder), file + ".c")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    target = os.path.join(str(folder), file + ".so")
    words = [CC, "-std=gnu11", "-w", "-O1", "-fPIC", "-shared", "-I", os.path.join(kit.SRC, "sdk", "include"), "-o", target, path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=kit.DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    os.chmod(target, 0o755)
    os.unlink(path)
    return target


def user_of(iface, option="backend", flags="CH_O_REQUIRED", default="auto"):
    """Pieces of a plugin that uses a service: (before, fields)."""
    return (f'struct conf {{ const struct ch_svc *{option}; }};\n'
            f'static const struct ch_option opts[] = {{ CH_OPT(struct conf, {option}, SERVICE, .def = "{default}", .iface = "{iface}",'
            f' .flags = {flags}, .help = "Who") }};\n',
            ".conf_size = sizeof(struct conf), .options = CH_TABLE(opts), ")


def provider_of(iface, rank=1):
    return (f'static const struct {{ size_t size; }} vt = {{ sizeof vt }};\n'
            f'static const struct ch_provide provides[] = {{ {{ "{iface}", &vt, {rank} }} }};\n',
            ".provides = CH_TABLE(provides), ")
