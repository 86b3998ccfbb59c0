# SPDX-License-Identifier: Apache-2.0
"""Structured fields (RFC 9651) as far as the RateLimit fields need them: a list of strings with parameters. Strict: what is not in the
grammar is an error."""
import re

ITEM = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
PARAMETER = re.compile(r";[ ]*([a-z*][a-z0-9_.*-]*)=")
INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")


def parse(text):
    """{"requests": {"q": 100, "w": 60}, …}, in order; strings must be unique."""
    members, at = {}, 0
    while True:
        m = ITEM.match(text, at)
        assert m, f"no string at {at} of {text!r}"
        name, at = re.sub(r"\\(.)", r"\1", m[1]), m.end()
        assert name not in members, f"{name} comes twice in {text!r}"
        members[name] = parameters = {}
        while m := PARAMETER.match(text, at):
            at = m.end()
            value = INTEGER.match(text, at) or ITEM.match(text, at)
            assert value, f"no value at {at} of {text!r}"
            assert m[1] not in parameters, f"{m[1]} comes twice in {text!r}"
            parameters[m[1]] = value[1] if value.re is ITEM else int(value[0])
            at = value.end()
        if at == len(text):
            return members
        m = re.compile(r"[ \t]*,[ \t]*").match(text, at)
        assert m, f"no comma at {at} of {text!r}"
        at = m.end()


def duration_ms(text):
    """What Go's time.ParseDuration says of such a text, in milliseconds."""
    assert re.fullmatch(r"(\d+h)?(\d+m(?!s))?(\d+(\.\d+)?(s|ms))?", text) and text, text
    units = {"h": 3600000, "m": 60000, "s": 1000, "ms": 1}
    return round(sum(float(n) * units[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)))
