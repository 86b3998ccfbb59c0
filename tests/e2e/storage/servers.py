# SPDX-License-Identifier: Apache-2.0
"""Real databases for tests, in temporary folders and on ports that the kernel picks: Postgres, ClickHouse, and sqlite() for files.

  with Postgres() as pg:                      pg.stop(), kill(), pause(), resume(), restart(), pg.log
      db = pg.database()                      a fresh database chimera_N: db.dsn, db.psql("SELECT …") -> [(text or None, …)]
  with ClickHouse() as ch:
      db = ch.database()                      db.url, db.name, db.user, db.password, db.query("SELECT …") -> [[value, …]]
  sqlite(path, "SELECT …", …)                 [(value, …)]

As fixtures (of conftest.py here; other folders write `from servers import clickhouse_server, ...` in a conftest.py of their own, with this
folder on sys.path): postgres_server, clickhouse_server (one for the session), postgres, clickhouse (a fresh database in it for each test).
A test that stops, pauses or kills a server starts one of its own. A program that is missing skips the test and says what to install.
"""
import atexit
import csv
import functools
import glob
import io
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import canary  # noqa: E402
import chimera as kit  # noqa: E402

USER, PASSWORD = "chimera", canary.of("database")
NULL = "\\N"


def program(name, package, *folders):
    """The path of a program, or a skip that names its package."""
    found = shutil.which(name) or next((path for folder in folders for path in sorted(glob.glob(os.path.join(folder, name)))[::-1]), None)
    return found or pytest.skip(f"{name} is not at hand: install {package}")


def children(pid):
    """All descendants of a process."""
    below = {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat, encoding="utf-8", errors="replace") as f:
                words = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        below.setdefault(int(words[1]), []).append(int(stat.split("/")[2]))
    found, new = [], [pid]
    while new:
        new = [child for parent in new for child in below.get(parent, ())]
        found += new
    return found


class Server:
    """A process with a folder and a port of its own: started by start() or `with`, gone with the tests however they end."""

    identity = ()  # setpriv's options: another user
    end_signal = signal.SIGTERM
    movable = False  # command() is where the port goes: before the first start it may still be another one

    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix=name + "-")
        os.chmod(self.folder, 0o755)
        self.log_path = os.path.join(self.folder, "log")
        self.port = kit.free_port()
        self.process = None
        self.stopped = []
        atexit.register(self.close)

    def command(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def start(self, tries=5):
        """A port is free when it is asked for; a test beside this one may have it before the first start, which then takes another."""
        assert not self.alive
        fresh = self.process is None
        with open(self.log_path, "ab") as log:
            # Gone with the thread that starts it, even if that is killed.
            command = [program("setpriv", "util-linux"), "--pdeathsig", "KILL", *self.identity, *self.command()]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            start_new_session=True)
        kit.wait_for(lambda: self.ready() or not self.alive, lambda: f"{self.folder} to be ready; it said:\n{self.log[-4000:]}")
        if fresh and self.movable and tries > 1 and not self.alive and "Address already in use" in self.log:
            self.process, self.port = None, kit.free_port()
            return self.start(tries - 1)
        assert self.alive, f"{command[-1]} ended with {self.process.returncode}; it said:\n{self.log[-4000:]}"
        return self

    def stop(self):
        """An orderly end."""
        self.resume()
        if self.alive:
            self.process.send_signal(self.end_signal)
            try:
                self.process.wait(kit.DEADLINE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.folder} did not end:\n{self.log[-4000:]}") from None

    def kill(self):
        """SIGKILL to the server and all that it has started, as a power cut would."""
        if not self.alive:
            return
        self.process.send_signal(signal.SIGSTOP)  # so that it starts no more while they are counted
        for pid in [*children(self.pid), self.pid]:
            self.send(pid, signal.SIGKILL)
        self.process.wait()
        self.stopped = []

    def pause(self):
        """SIGSTOP to all of it: connections stand, nothing is answered. New connections are taken by the kernel until its queue is full."""
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = [self.pid, *children(self.pid)]
        for pid in self.stopped:
            self.send(pid, signal.SIGSTOP)

    def resume(self):
        for pid in self.stopped[::-1]:
            self.send(pid, signal.SIGCONT)
        self.stopped = []

    def restart(self):
        """A stop and a start on the same port."""
        self.stop()
        return self.start()

    @staticmethod
    def send(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *_):
        self.close()


def certificate(folder, name="127.0.0.1"):
    """Makes server.crt and server.key, self-signed for 127.0.0.1 and localhost, in a folder: (certificate, key)."""
    openssl = program("openssl", "openssl")
    crt, key = os.path.join(folder, "server.crt"), os.path.join(folder, "server.key")
    subprocess.run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", crt], check=True,
                   capture_output=True)
    return crt, key


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(None)
def postgres_user():
    """Who runs PostgreSQL, which refuses to be run by root: None for us, or the password entry of another user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    return pytest.skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody: install postgresql")


def postgres_identity():
    user = postgres_user()
    return ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"] if user else []


def run_as_postgres(folder, *command, **kw):
    done = subprocess.run([program("setpriv", "util-linux"), *postgres_identity(), *command], capture_output=True, text=True, cwd=folder,
                          check=False, **kw)
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stdout + done.stderr


def give_to_postgres(path):
    user = postgres_user()
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)


def postgres_program(name):
    return program(name, "postgresql", "/usr/lib/postgresql/*/bin")


@functools.lru_cache(None)
def postgres_template():
    """A folder as initdb makes it, with the role chimera: made once, since it takes seconds, and copied for each server."""
    folder = tempfile.mkdtemp(prefix="postgres-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    give_to_postgres(folder)
    data = os.path.join(folder, "data")
    run_as_postgres(folder, postgres_program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    run_as_postgres(folder, postgres_program("postgres"), "--single", "-D", data, "-F", "postgres",
                    input=f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'\n")
    with open(os.path.join(data, "pg_hba.conf"), "w", encoding="ascii") as f:
        f.write("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n")
    return data


class Database:
    """A database of a Postgres. `dsn` is for libpq; over TCP, as the role chimera, which owns it."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    @property
    def dsn(self):
        return self.at(self.server.port)

    def at(self, port, host="127.0.0.1"):
        """The dsn through another port, such as a proxy's."""
        more = f"?sslmode=verify-full&sslrootcert={self.server.ca_file}" if self.server.ca_file else ""
        return f"postgresql://{USER}:{PASSWORD}@{host}:{port}/{self.name}{more}"

    def psql(self, sql):
        """Runs statements as the superuser past all that stands before the port; the rows of all SELECTs, every value as text."""
        return self.server.psql(sql, self.name)

    def close(self):
        if self.server.alive and not self.server.stopped:
            self.server.psql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class Postgres(Server):
    """A PostgreSQL. Settings by name: Postgres(max_connections=10); durable=True writes through to the disk; tls=True has a certificate,
    `ca_file`, and takes connections without TLS too unless tls="only"."""

    end_signal = signal.SIGINT  # "fast": it does not wait for its clients
    movable = True

    def __init__(self, durable=False, tls=False, **settings):
        template = postgres_template()
        super().__init__("pg")
        self.data = os.path.join(self.folder, "data")
        give_to_postgres(self.folder)
        subprocess.run(["cp", "-a", template, self.data], check=True)
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "shared_buffers": "16MB",
                         "max_connections": 40, "deadlock_timeout": "50ms", "log_line_prefix": "%p %u@%d: ", **settings}
        if not durable:
            self.settings = {"fsync": "off", "full_page_writes": "off", **self.settings}
        self.ca_file = None
        if tls:
            crt, key = certificate(self.folder)
            give_to_postgres(crt)
            give_to_postgres(key)
            self.ca_file = crt
            self.settings = {"ssl": "on", "ssl_cert_file": crt, "ssl_key_file": key, **self.settings}
        if tls == "only":
            self.hba("local all all trust", "hostssl all all 127.0.0.1/32 scram-sha-256")
        self.identity = postgres_identity()
        self.databases = 0

    def hba(self, *lines):
        """Rewrites pg_hba.conf; a running server reads it at the next reload()."""
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def command(self):
        return [postgres_program("postgres"), "-D", self.data, "-p", str(self.port),
                *(word for name, value in self.settings.items() for word in ("-c", f"{name}={value}"))]

    def ready(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii", errors="replace") as f:
                lines = f.read().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready" and int(lines[0]) == self.pid

    def psql(self, sql, database="postgres"):
        """Runs statements as the superuser over the unix socket; the rows of all SELECTs as tuples of text and None."""
        done = subprocess.run([postgres_program("psql"), "-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1", "-P", f"null={NULL}", "-h",
                               self.folder, "-p", str(self.port), "-U", "postgres", database], input=sql, capture_output=True, text=True,
                              timeout=kit.DEADLINE, check=False)
        assert done.returncode == 0, f"{sql}\n{done.stderr}"
        return [tuple(None if v == NULL else v for v in row) for row in csv.reader(io.StringIO(done.stdout, newline=""))]

    def database(self, **options):
        """A fresh database; options such as icu_locale="en" go into CREATE DATABASE."""
        self.databases += 1
        name = f"chimera_{self.databases}"
        more = "".join(f" {key.upper()} '{value}'" for key, value in options.items())
        if "icu_locale" in options:
            more += " LOCALE_PROVIDER icu TEMPLATE template0"
        self.psql(f"CREATE DATABASE {name} OWNER {USER}{more}")
        return Database(self, name)

    def sessions(self):
        """[(pid, database, state, query)] of the clients' connections: "idle in transaction" is one left open."""
        return self.psql("SELECT pid, datname, state, query FROM pg_stat_activity WHERE backend_type = 'client backend' "
                         "AND pid <> pg_backend_pid() ORDER BY pid")


# ---- ClickHouse ------------------------------------------------------------------------------------------------------------


class ClickHouseError(AssertionError):
    """What ClickHouse answered instead of rows; `code` is its own."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.code = int(text.split(":", 1)[1].split(",", 1)[0]) if text.startswith("Code:") else 0


class ClickHouseDatabase:
    """A database of a ClickHouse, reached over HTTP as the user chimera."""

    user, password = USER, PASSWORD

    def __init__(self, server, name):
        self.server, self.name = server, name

    @property
    def url(self):
        return self.server.url

    def at(self, port):
        """The url through another port, such as a proxy's."""
        return f"http://127.0.0.1:{port}"

    def query(self, sql, **settings):
        return self.server.query(sql, self.name, **settings)

    def close(self):
        if self.server.alive and not self.server.stopped:
            self.server.query(f"DROP DATABASE IF EXISTS {self.name}")


CLICKHOUSE_CONFIG = """<?xml version="1.0"?>
<yandex>
<logger><level>information</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>
<listen_host>127.0.0.1</listen_host><http_port>{port}</http_port><tcp_port>{tcp_port}</tcp_port>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><user_files_path>{folder}/files/</user_files_path>
<format_schema_path>{folder}/schemas/</format_schema_path><users_config>{folder}/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database><timezone>{timezone}</timezone>
<mark_cache_size>16777216</mark_cache_size><uncompressed_cache_size>0</uncompressed_cache_size>
<max_concurrent_queries>100</max_concurrent_queries><keep_alive_timeout>{keep_alive}</keep_alive_timeout><umask>022</umask>
</yandex>
"""
CLICKHOUSE_USERS = """<?xml version="1.0"?>
<yandex><profiles><default>{settings}</default></profiles>
<users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
<{user}><password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></{user}>
</users><quotas><default></default></quotas></yandex>
"""


class ClickHouse(Server):
    """A ClickHouse; settings of its users' profile by name: ClickHouse(max_memory_usage=1000000). The user default has no password."""

    movable = True

    def __init__(self, timezone="UTC", keep_alive=60, **settings):
        program("clickhouse-server", "clickhouse-server")
        super().__init__("ch")
        self.timezone, self.keep_alive, self.settings = timezone, keep_alive, {"max_memory_usage": 500000000, **settings}
        self.tcp_port = kit.free_port()
        self.databases = 0
        for name in ("data", "tmp", "files", "schemas"):
            os.mkdir(os.path.join(self.folder, name))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        with open(os.path.join(self.folder, "config.xml"), "w", encoding="ascii") as f:
            f.write(CLICKHOUSE_CONFIG.format(**vars(self)))
        with open(os.path.join(self.folder, "users.xml"), "w", encoding="ascii") as f:
            f.write(CLICKHOUSE_USERS.format(user=USER, password=PASSWORD,
                                            settings="".join(f"<{k}>{v}</{k}>" for k, v in self.settings.items())))
        return [program("clickhouse-server", "clickhouse-server"), f"--config-file={self.folder}/config.xml"]

    def ready(self):
        try:
            with urllib.request.urlopen(self.url + "/ping", timeout=5) as r:
                return r.read() == b"Ok.\n"
        except OSError:
            return False

    def query(self, sql, database="default", **settings):
        """Runs one statement; the rows of one that answers rows, as lists of JSON values (whole numbers as int, 18.16's times as text)."""
        reads = sql.split(None, 1)[0].upper() in ("SELECT", "SHOW", "DESCRIBE", "DESC", "EXISTS")
        values = {"user": USER, "password": PASSWORD, "database": database, "output_format_json_quote_64bit_integers": 0, **settings}
        body = (sql + " FORMAT JSONCompact" if reads else sql).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/?{urllib.parse.urlencode(values)}", body, timeout=kit.DEADLINE) as r:
                text = r.read()
        except urllib.error.HTTPError as e:
            raise ClickHouseError(e.code, e.read().decode(errors="replace")) from None
        return json.loads(text)["data"] if reads else []

    def database(self):
        """A fresh database."""
        self.databases += 1
        name = f"chimera_{self.databases}"
        self.query(f"CREATE DATABASE {name}")
        return ClickHouseDatabase(self, name)


# ---- SQLite ----------------------------------------------------------------------------------------------------------------


def sqlite(path, sql, *values):
    """Runs statements in a file of SQLite, made if need be; the rows of the one statement. Several statements: no values, no rows."""
    db = sqlite3.connect(path, timeout=kit.DEADLINE, isolation_level=None)
    try:
        if sqlite3.complete_statement(sql) and sql.rstrip().rstrip(";").count(";"):
            db.executescript(sql)
            return []
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


# ---- fixtures --------------------------------------------------------------------------------------------------------------


@functools.lru_cache(None)
def shared(kind):
    """The one server of that class for all tests of the session, in whatever folder they are."""
    return kind().start()


@pytest.fixture(scope="session")
def postgres_server():
    return shared(Postgres)


@pytest.fixture(scope="session")
def clickhouse_server():
    return shared(ClickHouse)


@pytest.fixture
def postgres(postgres_server):
    db = postgres_server.database()
    yield db
    db.close()


@pytest.fixture
def clickhouse(clickhouse_server):
    db = clickhouse_server.database()
    yield db
    db.close()
