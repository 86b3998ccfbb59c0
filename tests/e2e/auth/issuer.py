# SPDX-License-Identifier: Apache-2.0
"""Who issues tokens: keys made and used by the program openssl, and a server of their public halves (JWKS)."""
import base64
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

import canary
import chimera as kit

ISSUER, AUDIENCE = "https://issuer.example/", "gateway"
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="there is no program openssl")


def b64(data):
    data = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*words, data=b""):
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True).stdout


def der_integers(der):
    """The two INTEGERs of an ECDSA signature (SEQUENCE of them), 32 bytes each."""
    out, at = b"", 2
    for _ in range(2):
        n = der[at + 1]
        out += der[at + 2:at + 2 + n].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + n
    return out


class Key:
    """A pair of keys; alg: RS256, ES256 or EdDSA."""
    MAKE = {"RS256": ("RSA", "rsa_keygen_bits:2048"), "ES256": ("EC", "ec_paramgen_curve:P-256"), "EdDSA": ("ED25519", None)}

    def __init__(self, alg, kid, bits=2048):
        self.alg, self.kid = alg, kid
        kind, option = self.MAKE[alg]
        option = option and option.replace("2048", str(bits))
        self.pem = openssl("genpkey", "-algorithm", kind, *(["-pkeyopt", option] if option else []))
        self.file = tempfile.NamedTemporaryFile()  # pylint: disable=consider-using-with
        self.file.write(self.pem)
        self.file.flush()

    def jwk(self, **more):
        public = openssl("pkey", "-in", self.file.name, "-pubout", "-outform", "DER")
        if self.alg == "RS256":
            n = openssl("rsa", "-in", self.file.name, "-noout", "-modulus").decode().strip().split("=")[1]
            numbers = {"kty": "RSA", "n": b64(bytes.fromhex(n)), "e": "AQAB"}
        elif self.alg == "ES256":
            numbers = {"kty": "EC", "crv": "P-256", "x": b64(public[-64:-32]), "y": b64(public[-32:])}
        else:
            numbers = {"kty": "OKP", "crv": "Ed25519", "x": b64(public[-32:])}
        return {**numbers, "kid": self.kid, "use": "sig", "alg": self.alg, **more}

    def sign(self, data):
        if self.alg == "EdDSA":
            with tempfile.NamedTemporaryFile() as f:
                f.write(data)
                f.flush()
                return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file.name, "-in", f.name)
        signature = openssl("dgst", "-sha256", "-sign", self.file.name, data=data)
        return der_integers(signature) if self.alg == "ES256" else signature

    def token(self, claims=None, header=None, **more):
        """A token of good claims with these over them (None takes one away), and with these members of the header."""
        now = int(time.time())
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mary", "iat": now, "exp": now + 600, **(claims or {}), **more}
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **(header or {})}
        data = ".".join(b64(json.dumps({k: v for k, v in part.items() if v is not None})) for part in (head, said))
        return canary.add(data + "." + b64(self.sign(data.encode())))


class Issuer:
    """Serves `keys` at /keys on a port of its own. body, status: something else in their place; headers: more of them."""

    def __init__(self, *keys):
        self.keys, self.body, self.status, self.headers, self.asked, self.hold = list(keys), None, 200, {}, 0, threading.Event()
        self.hold.set()
        self.port, self.server = kit.free_port(), None  # also while it is away
        self.begin()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/keys"

    def begin(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                issuer.asked += 1
                issuer.hold.wait(30)
                body = issuer.body if issuer.body is not None else json.dumps({"keys": [k.jwk() for k in issuer.keys]}).encode()
                self.send_response(issuer.status if self.path == "/keys" else 404)
                for name, value in {"Content-Type": "application/jwk-set+json", "Content-Length": str(len(body)), **issuer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self):
        """Away: nobody listens there any more."""
        if self.server:
            self.hold.set()
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def config(self, **more):
        return {"jwks": self.url, "jwt_issuer": ISSUER, "jwt_audiences": AUDIENCE, "anonymous": "no", "failures": "unlimited", **more}


def write_set(path, *keys):
    with open(str(path) + ".new", "w", encoding="utf-8") as f:
        json.dump({"keys": [k.jwk() for k in keys]}, f)
    os.rename(str(path) + ".new", path)
