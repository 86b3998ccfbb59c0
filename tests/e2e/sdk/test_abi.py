# SPDX-License-Identifier: Apache-2.0
"""The public headers beside sdk/ABI.md and tests/sdk/test_offsets.c: nothing comes, goes or moves without a word about it."""
import os
import re
import shutil
import subprocess

import headers
import pytest

import chimera as kit

ROW = re.compile(r"\| `((?:struct |enum )?[A-Za-z_][\w.]*)` \|(.*)\|$")
VERSION = re.compile(r"\d+\.\d+")
LINES = 400  # of declarations in plugin.h


def rows():
    """{header: {symbol: [the other cells]}}."""
    out, header = {}, None
    with open(os.path.join(kit.SRC, "sdk", "ABI.md"), encoding="utf-8") as f:
        for line in f.read().splitlines():
            if line.startswith("## "):
                header = re.match(r"## chimera/(\S+):", line)[1]
                out[header] = {}
            elif line.startswith("|") and not line.startswith(("| Symbol", "|---")):
                m = ROW.match(line)
                assert m, f"no row of ABI.md: {line}"
                assert m[1] not in out[header], f"two rows for {m[1]}"
                out[header][m[1]] = [cell.strip() for cell in m[2].split("|")]
    return out


def declared():
    """The same from the headers: {header: set}. Wrappers of the host table stand in its rows, the entry in abi.h's."""
    all_of_them = headers.all_headers()
    wrappers = {name for h in all_of_them for name, body in h.functions.items() if headers.wrapped(body)}
    out = {name: set(found) - wrappers for name, found in headers.symbols().items()}
    out["abi.h"] |= set(re.findall(r"^#define CH_ENTRY_\(name\) (\w+)$", headers.read("abi.h"), re.M))
    return out


@pytest.mark.parametrize("header", headers.HEADERS)
def test_each_symbol_and_field_has_a_row_and_each_row_a_symbol(header):
    have, want = set(rows().get(header, {})), declared()[header]
    assert not want - have, f"without a row in sdk/ABI.md: {sorted(want - have)}"
    assert not have - want, f"rows of sdk/ABI.md that chimera/{header} does not declare any more: {sorted(have - want)}"


def test_the_rows_of_the_host_table_name_the_wrappers_that_call_them():
    callers = {}
    for h in headers.all_headers():
        for name, body in h.functions.items():
            for called in headers.wrapped(body):
                callers.setdefault(called, set()).add(name)
    for symbol, (called_by, *_) in rows()["host.h"].items():
        function = symbol.partition(".")[2]
        assert set(re.findall(r"`(\w+)`", called_by)) == callers.get(function, set()), symbol
        assert function in callers or function in ("", "size", "abi_major", "abi_minor"), f"no wrapper calls {symbol}"


def test_each_row_says_since_when_and_nothing_is_newer_than_the_interface():
    text = headers.read("plugin.h")
    now = tuple(int(re.search(rf"#define CH_ABI_{part} (\d+)", text)[1]) for part in ("MAJOR", "MINOR"))
    for table in rows().values():
        for symbol, cells in table.items():
            since, changed = cells[-2:]
            assert VERSION.fullmatch(since), f"{symbol}: since {since!r}"
            for version in [since] + VERSION.findall(changed.split(":")[0]):
                assert (0, 1) <= tuple(map(int, version.split("."))) <= now, f"{symbol}: {version} is no version up to {now}"
            assert not changed or re.match(r"\d+\.\d+: \S", changed), f"{symbol}: say in which version it changed: {changed!r}"


def test_the_table_of_offsets_holds_each_struct_field_and_constant():
    with open(os.path.join(kit.SRC, "tests", "sdk", "test_offsets.c"), encoding="utf-8") as f:
        text = f.read()
    have = set(re.findall(r"^\t(?:SIZE|AT)\((\w+(?:, [\w.]+)?), \d+\),$", text, re.M)) | set(re.findall(r"\bIS\((\w+), -?\d+\)", text))
    want = set()
    for h in headers.all_headers():
        for tag, fields in h.structs.items():
            want |= {tag} | {f"{tag}, {field}" for field in fields}
        for constants in h.enums.values():
            want |= set(constants)
    assert have == want, f"missing: {sorted(want - have)}; too many: {sorted(have - want)}"


def test_plugin_h_has_less_than_400_lines_of_declarations():
    lines = headers.declaration_lines(headers.read("plugin.h"))
    print(f"{len(lines)} lines of declarations in plugin.h")
    assert 100 < len(lines) < LINES


def test_the_reader_of_headers_sees_what_was_put_there():
    """So that the tests above are worth something: a field, a constant, a macro and a function more are seen, a comment is not."""
    text = headers.read("plugin.h")
    before = headers.Header("plugin.h", text)
    grown = text.replace("struct ch_tap {", "struct ch_tap { int (*(fresh))(void);".replace("(fresh)", "fresh"), 1)
    grown = grown.replace("enum ch_why {", "enum ch_why { CH_NEVER = 9,", 1)
    grown = grown.replace("#define CH_STR(", "#define CH_MORE \\\n\t1\n#define CH_STR(", 1)
    grown = grown.replace("/* ---- a ctx ---- */", "/* struct ch_not { int a; }; */ static inline int ch_more(int n) { return n; }", 1)
    after = headers.Header("plugin.h", grown)
    assert set(after.macros + after.order) - set(before.macros + before.order) == {"ch_tap.fresh", "CH_NEVER", "CH_MORE", "ch_more"}
    assert set(before.macros + before.order) - set(after.macros + after.order) == set()


# ---- the headers compile alone -------------------------------------------------------------------------------------------------

ALL = sorted(os.path.relpath(os.path.join(folder, name), os.path.dirname(headers.FOLDER))
             for folder, _, names in os.walk(headers.FOLDER) for name in names if name.endswith(".h"))
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
LANGUAGES = {"C11": ["-x", "c", "-std=c11", "-pedantic"], "C++17": ["-x", "c++", "-std=c++17", "-pedantic"]}


@pytest.mark.skipif(not COMPILERS, reason="there is neither gcc nor clang")
@pytest.mark.parametrize("header", ALL)
def test_each_header_compiles_alone_as_c11_and_as_cpp17(header, tmp_path):
    source = tmp_path / "alone"
    source.write_text(f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n" if header != "chimera/host.h" else
                      "#include <chimera/plugin.h>\n#include <chimera/host.h>\nint main(void) { return 0; }\n")
    for compiler in COMPILERS:
        for words in LANGUAGES.values():
            if words[1] == "c++" and not can_cpp(compiler):
                continue
            done = subprocess.run([compiler, *words, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", os.path.dirname(headers.FOLDER),
                                   str(source)], capture_output=True, text=True, timeout=kit.DEADLINE, check=False)
            assert done.returncode == 0, f"{compiler} {' '.join(words)}: {done.stderr}"


def can_cpp(compiler):
    """Is its C++ there, with the standard headers that ours include?"""
    done = subprocess.run([compiler, *LANGUAGES["C++17"], "-fsyntax-only", "-"], input="#include <stddef.h>\n#include <stdint.h>\n",
            text=True,
                          capture_output=True, timeout=kit.DEADLINE, check=False)
    return done.returncode == 0


def test_host_h_alone_says_what_to_include(tmp_path):
    source = tmp_path / "alone.c"
    source.write_text("#include <chimera/host.h>\n")
    for compiler in COMPILERS:
        done = subprocess.run([compiler, "-fsyntax-only", "-I", os.path.dirname(headers.FOLDER), str(source)], capture_output=True,
                text=True,
                              timeout=kit.DEADLINE, check=False)
        assert done.returncode != 0 and "include <chimera/plugin.h>" in done.stderr


def test_a_plugin_in_cpp_fills_the_tables(tmp_path):
    """CH_STR, a descriptor and CH_PLUGIN as C11 and as C++17, with everything that a compiler warns about."""
    source = tmp_path / "plugin"
    source.write_text("""#include <chimera/json.h>
#include <chimera/http.h>
#include <chimera/inference.h>
#include <chimera/inspect.h>
struct conf { const char *greeting; int64_t wait; struct ch_list names; const struct ch_svc *http; };
static const char text[] = "hello";
static int on_get(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str s = CH_STR("text/plain");
	(void)self;
	ch_log(self, c, CH_INFO, "%s", text);
	return ch_respond(c, 200, s.p, text, sizeof(text) - 1);
}
static const struct ch_plugin plugin = { sizeof(struct ch_plugin), CH_ABI_MAJOR, CH_ABI_MINOR, "t", "1", "t", sizeof(struct conf), 0, 0,
	{ 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 },
	{ 0, 0, 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
int call(struct ch_self *s, struct ch_ctx *c) { return on_get(s, c); }
CH_PLUGIN(t, plugin)
int main(void) { return 0; }
""")
    for compiler in COMPILERS:
        for words in LANGUAGES.values():
            if words[1] == "c++" and not can_cpp(compiler):
                continue
            done = subprocess.run([compiler, *words, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", os.path.dirname(headers.FOLDER),
                                   str(source)], capture_output=True, text=True, timeout=kit.DEADLINE, check=False)
            assert done.returncode == 0, f"{compiler} {' '.join(words)}: {done.stderr}"
