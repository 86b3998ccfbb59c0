# SPDX-License-Identifier: Apache-2.0
"""What the public headers declare, read by a small tokenizer: macros, structs with their fields, enum constants, types and functions.

It knows the C that these headers are written in (structs by tag, one level deep, inline functions with a body) and stops at anything else.
Macros and functions whose name ends in an underscore are the headers' own and are left out, as are include guards.
"""
import os
import re

import chimera as kit

FOLDER = os.path.join(kit.SRC, "sdk", "include", "chimera")
HEADERS = ["abi.h", "plugin.h", "host.h", "inspect.h", "json.h", "inference.h", "backend.h", "models.h", "http.h", "kv.h", "keys.h",
           "ledger.h", "sink.h", "sql.h", "tokens.h", "value.h", "test.h"]
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[A-Za-z_]\w*|0[xX]\w+|\d[\w.]*|\.\.\.|->|[^\s\w]')


def strip_comments(text):
    """Without comments; the lines stay where they are."""
    def blank(m):
        return m[0] if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0])
    return re.sub(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|/\*.*?\*/|//[^\n]*', blank, text, flags=re.S)


def directives(text):
    """(code without directives, [the names that are defined]), as a C compiler that is no C++ one sees it."""
    code, macros, on = [], [], []
    for line in re.sub(r"\\\n", " ", strip_comments(text)).split("\n"):
        m = re.match(r"\s*#\s*(\w+)\s*(.*)", line)
        if not m:
            if all(on):
                code.append(line)
            continue
        word, rest = m[1], m[2].strip()
        if word == "ifdef":
            on.append(False)
        elif word == "ifndef":
            on.append(True)  # an include guard, or what host.h says to whoever includes it alone
        elif word == "if":
            on.append(True)
        elif word == "else":
            on[-1] = not on[-1]
        elif word == "endif":
            on.pop()
        elif word == "define":
            macros.append(re.match(r"\w+", rest)[0])
    assert not on, "an #if without its #endif"
    return "\n".join(code), macros


class Header:
    """macros, types (typedef names), structs {tag: [field]}, enums {tag or first constant: [constant]}, functions {name: its body's tokens,
    or None}; order: all their names as they come, "named TAG" for a struct that is only named there."""

    def __init__(self, name, text):
        self.name, self.structs, self.enums, self.types, self.functions, self.order = name, {}, {}, [], {}, []
        code, macros = directives(text)
        self.macros = [m for m in macros if not m.endswith("_") and not re.fullmatch(r"CHIMERA(_\w+)?_H", m)]
        self.tokens, self.at = TOKEN.findall(code), 0
        while self.at < len(self.tokens):
            self.declaration()

    def until(self, end):
        """The tokens up to `end` outside of all brackets, which is passed over."""
        got, depth = [], 0
        while True:
            assert self.at < len(self.tokens), f"{self.name}: no {end} behind {' '.join(got[:12])}"
            t = self.tokens[self.at]
            self.at += 1
            if not depth and t in end:
                return got, t
            depth += (t in "([{") - (t in ")]}")
            got.append(t)

    def declaration(self):
        got, end = self.until((";", "{"))
        if not got:
            return
        if end == "{":
            body, _ = self.until(("}",))
            if got[0] == "struct" and len(got) == 2:
                self.structs[got[1]] = fields(body)
                self.order += ["struct " + got[1]] + [f"{got[1]}.{f}" for f in self.structs[got[1]]]
                self.until((";",))
            elif got[0] == "enum":
                constants = [t[0] for t in split(body, ",") if t]
                self.enums[got[1] if len(got) > 1 else constants[0]] = constants
                self.order += ["enum " + t for t in got[1:]] + constants
                self.until((";",))
            else:
                self.function(got, body)
        elif got[0] == "typedef":
            self.types.append(declared(got[1:]))
            self.order.append(self.types[-1])
        elif got[0] == "struct" and len(got) == 2:
            self.order.append("named " + got[1])
        elif got[0] == "extern" and declared(got).endswith("_"):
            pass
        else:
            self.function(got, None)

    def function(self, tokens, body):
        name = function_name(tokens)
        self.functions[name] = body
        if not name.endswith("_"):
            self.order.append(name)


def split(tokens, at):
    """By a token outside of all brackets."""
    parts, depth = [[]], 0
    for t in tokens:
        depth += (t in "([{") - (t in ")]}")
        if t == at and not depth:
            parts.append([])
        else:
            parts[-1].append(t)
    return parts


def declared(tokens):
    """The name that a declarator gives: int (*fn)(…), char v[16], unsigned major, const char *a."""
    for i, t in enumerate(tokens):
        if t == "(" and tokens[i + 1] == "*" and re.match(r"[A-Za-z_]", tokens[i + 2]):
            return tokens[i + 2]
    while tokens and tokens[-1] == "]":
        depth = len(tokens) - 1
        while tokens[depth] != "[":
            depth -= 1
        tokens = tokens[:depth]
    return tokens[-1]


def fields(tokens):
    out = []
    for member in split(tokens, ";"):
        if member and member[0] == "union" and member[1] == "{":
            name = member[-1]
            out += [name] + [f"{name}.{f}" for f in fields(member[2:-2])]
        elif member:
            assert "{" not in member, f"a struct in a struct: {' '.join(member)}"
            out += [declared(part) for part in split(member, ",")]
    return out


def function_name(tokens):
    """int NAME ( … ) behind attributes and before them."""
    i, name = 0, None
    while i + 1 < len(tokens):
        if tokens[i + 1] == "(" and tokens[i] not in ("__attribute__", "CH_PRINTF_"):
            name = tokens[i]
            break
        if tokens[i + 1] == "(":  # an attribute: over its brackets
            depth = 0
            i += 1
            while True:
                depth += (tokens[i] == "(") - (tokens[i] == ")")
                i += 1
                if not depth:
                    break
            continue
        i += 1
    assert name, f"neither a type nor a function: {' '.join(tokens)}"
    return name


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return f.read()


def all_headers():
    return [Header(name, read(name)) for name in HEADERS]


def symbols():
    """{header: what has a row in ABI.md, in its order}. A struct that is named in one place and defined in another stands where it is
    defined."""
    found = all_headers()
    defined = {tag for h in found for tag in h.structs}
    return {h.name: h.macros + [n.replace("named ", "struct ") for n in h.order if not n.startswith("named ") or n[6:] not in defined]
            for h in found}


def wrapped(body):
    """The functions of the host table that an inline function calls."""
    return [body[i + 2] for i, t in enumerate(body or []) if t == "ch_host_" and body[i + 1] == "->"]


def declaration_lines(text):
    """The lines that declare something: no comment, no directive, no lone brace, not blank."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m[0].count("\n"), strip_comments(text), flags=re.M)
    return [line for line in code.split("\n") if line.strip() and line.strip() not in ("{", "}", "};")]
