# SPDX-License-Identifier: Apache-2.0
"""What the documentation for authors says in C compiles, and its links lead somewhere.

A block of C stands at file scope, behind the page's first block if that has #include lines (the frame that the reader is told of). A page
without such a frame is compiled behind plugin.h. Blocks do not see each other, but for names that a block uses and another one of its page
defines: those are declared to it by putting the other one before it.
"""
import os
import re
import shutil
import subprocess

import chimera as kit
import pytest

PAGES = ["docs/plugins.md", "docs/sdk/ten-minutes.md", "docs/sdk/life-cycle.md", "docs/sdk/threads-and-ownership.md",
         "docs/sdk/cookbook.md", "docs/sdk/compatibility.md", "docs/conformance.md", "sdk/examples/README.md"]
CC = os.environ.get("CC", "cc").split()[0]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-Wno-unused-function",
         "-Wno-unused-variable", "-Wno-unused-const-variable", "-Wno-missing-field-initializers"]
PLAIN = "#include <stdio.h>\n#include <stdlib.h>\n#include <chimera/json.h>\n"


def read(page):
    with open(os.path.join(kit.SRC, page), encoding="utf-8") as f:
        return f.read()


def blocks(text):
    """[(line, C)] of a page."""
    return [(text.count("\n", 0, m.start(2)) + 1, m[2]) for m in re.finditer(r"(?ms)^( *)```c$\n(.*?)^\1```$", text)]


def compile_c(source, tmp_path):
    path = tmp_path / "snippet.c"
    path.write_text(source)
    return subprocess.run([CC, *FLAGS, f"-I{kit.SRC}/sdk/include", str(path)], capture_output=True, text=True, check=False,
                          timeout=kit.DEADLINE)


def functions(c):
    """The names that a block defines at file scope: functions and static tables."""
    return set(re.findall(r"(?m)^(?!\s|#|/|\})[\w \*]*?(\w+)(?:\(|\[\]|\s*=)", c))


def test_every_piece_of_c_in_the_pages_for_authors_compiles(tmp_path):
    if not shutil.which(CC):
        pytest.skip(f"there is no compiler {CC}")
    seen, failed = 0, []
    for page in PAGES:
        all_of_it = blocks(read(page))
        frame = all_of_it.pop(0)[1] if all_of_it and "#include" in all_of_it[0][1] else PLAIN
        for i, (line, c) in enumerate(all_of_it):
            seen += 1
            mine = functions(c)
            before = "".join(other for _, other in all_of_it[:i]
                             if any(re.search(rf"\b{name}\b", c) for name in functions(other) - mine) and not functions(other) & mine)
            done = compile_c(f'{frame}{before}#line {line} "{page}"\n{c}', tmp_path)
            if done.returncode:
                failed.append(f"{page}:{line}: {done.stderr}")
    assert not failed, "\n".join(failed)
    assert seen > 25, "the blocks are not found any more"


def test_a_piece_of_c_that_is_wrong_is_found(tmp_path):
    if not shutil.which(CC):
        pytest.skip(f"there is no compiler {CC}")
    assert "no_such_function" in compile_c(PLAIN + "int f(void) { return no_such_function(1); }\n", tmp_path).stderr


def anchors(text):
    """GitHub's: lower case, blanks to dashes, other marks away."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", text)}


def test_every_link_of_the_pages_leads_somewhere():
    pages = [*PAGES, "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    for root, _, names in os.walk(os.path.join(kit.SRC, "docs")):
        pages += [os.path.relpath(os.path.join(root, name), kit.SRC) for name in names if name.endswith(".md")]
    dead = []
    for page in dict.fromkeys(pages):
        text = re.sub(r"(?ms)^ *```.*?^ *```$", "", read(page))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            full = os.path.normpath(os.path.join(kit.SRC, os.path.dirname(page), path)) if path else os.path.join(kit.SRC, page)
            if not os.path.exists(full):
                dead.append(f"{page}: {target}")
            elif anchor and anchor not in anchors(open(full, encoding="utf-8").read()):
                dead.append(f"{page}: {target}: there is no such heading")
    assert not dead, "\n".join(dead)


def test_ten_minutes_shows_what_the_tool_prints(tmp_path):
    page = read("docs/sdk/ten-minutes.md")
    tool = os.path.join(kit.SRC, "sdk", "tools", "chimera-plugin-new")
    done = subprocess.run([tool, "hello", "--standalone"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=kit.DEADLINE)
    assert done.stdout in page
    shown = re.findall(r"(?m)^\| (`[^|]*`) \|", page.split("| file | |")[1].split("## 2.")[0])
    named = {name.rstrip("/") for cell in shown for name in re.findall(r"`([^`]*)`", cell)}
    assert named == set(os.listdir(tmp_path / "hello")) - {"LICENSE", "README.md", ".gitignore"}
