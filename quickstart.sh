#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ./quickstart.sh           installs what the build needs, builds, starts chimerad on 127.0.0.1:8080, sends a first request
# ./quickstart.sh --check   installs what the tests need, builds and runs all of them (.ci/run is exactly this)
#
# Everything is made below build/. Another address: CHIMERA__SERVER__LISTEN=127.0.0.1:9000 ./quickstart.sh
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")"

# ---- what is installed, and why: PACKAGE REASON ------------------------------------------------------------------------------

build_packages='
gcc            the C compiler
libc6-dev      the C library
make           the build
autoconf       makes ./configure
automake       makes the Makefile
libtool        builds the plugins
pkg-config     finds libraries
libev-dev      event loops
libltdl-dev    loads plugins
libsqlite3-dev storage_sqlite: what was asked and answered is kept
libssl-dev     hashes of migrations, encrypted tokens
libpcre2-dev   records: patterns of what must not be kept
libxxhash-dev  records: checksums of the journal
curl           sends the first request
'
check_packages="$build_packages
git                    the commit in the tarball
binutils               nm: what the programs export
libcmocka-dev          unit tests
python3-pytest         end-to-end tests
python3-requests       end-to-end tests
python3-jsonschema     the schemas in /openapi.json
python3-prometheus-client  reads our OpenMetrics
libcurl4-openssl-dev   http_client, and a test plugin that drives libcurl on our loop
libpq-dev              storage_postgres
zlib1g-dev             storage_clickhouse
libhiredis-dev         kv_redis
redis-server           the real one, for tests
redis-sentinel         the same, for fail-overs
postgresql             the real one, for tests
clickhouse-server      the real one, for tests
clickhouse-client      the benchmark's bulk load
sqlite3                the real one, for tests
valgrind               counts the instructions of looking a key up
openssl                certificates for tests
clang                  libFuzzer, and a second compiler
libclang-rt-14-dev     the run time of libFuzzer
prometheus             promtool reads our /metrics
nginx-light            what the benchmark compares with
wrk                    the load of the benchmark
nodejs                 runs the official client of OpenAI's API
debhelper              packages a plugin that chimera-plugin-new has made
rpm                    the same
"

jobs=$(nproc 2>/dev/null || echo 2)
root=$PWD

# ---- telling -----------------------------------------------------------------------------------------------------------------

step=0 steps=5
step() { step=$((step + 1)); printf '[%d/%d] %s\n' "$step" "$steps" "$*"; }
note() { printf '      %s\n' "$*"; }
die() { printf 'quickstart.sh: %s\n' "$*" >&2; exit 1; }

# quiet LOG COMMAND…: its output goes to the log, whose end is shown when it fails.
quiet() {
	local log=$1 began=$SECONDS
	shift
	if "$@" >>"$log" 2>&1; then
		note "done in $((SECONDS - began)) s"
		return 0
	fi
	note "failed after $((SECONDS - began)) s; the end of $log:"
	tail -n 40 "$log" >&2
	return 1
}

# ---- packages ----------------------------------------------------------------------------------------------------------------

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a service as it is installed. These are here for their tools: nothing is started, nor at the next boot.
apt_quietly() {
	local policy=/usr/sbin/policy-rc.d made=no rc=0
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy && made=yes
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" || rc=$?
	[ $made = no ] || as_root rm -f $policy
	return $rc
}

install_packages() {
	local list=$1 missing=() package reason service
	if ! command -v apt-get >/dev/null; then
		for package in cc make autoreconf libtoolize pkg-config curl; do
			command -v $package >/dev/null || missing+=("$package")
		done
		[ ${#missing[@]} = 0 ] || die "there is no apt-get here to install packages with, and ${missing[*]} cannot be found:" \
			"install a C compiler, make, autoconf, automake, libtool, pkg-config, curl and the headers of libev and libltdl, then run this again"
		note "no apt-get here: taking what is installed"
		return
	fi
	while read -r package reason; do
		[ -n "$package" ] || continue
		case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
		*' installed') ;;
		*) missing+=("$package"); note "$(printf '%-22s %s' "$package" "$reason")" ;;
		esac
	done <<<"$list"
	if [ ${#missing[@]} = 0 ]; then
		note 'all there'
		return
	fi
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
		die "the packages above are missing: become root, or run as root: apt-get install ${missing[*]}"
	note "installing ${#missing[@]} with apt-get"
	: >build/packages.log
	quiet build/packages.log as_root apt-get -q -y -o DPkg::Lock::Timeout=300 update ||
		die 'apt-get update failed: look at /etc/apt/sources.list and the network'
	quiet build/packages.log apt_quietly install --no-install-recommends "${missing[@]}" ||
		die "apt-get could not install: ${missing[*]}"
	for service in nginx prometheus postgresql clickhouse-server redis-server redis-sentinel; do
		case " ${missing[*]} " in
		*" $service"*) as_root systemctl disable --now "$service" >/dev/null 2>&1 || : ;;
		esac
	done
}

# ---- building ------------------------------------------------------------------------------------------------------------------

# configure_in FOLDER OPTIONS…: ./configure there, if it was not with the same options.
configure_in() {
	local dir=$1
	shift
	mkdir -p "$dir"
	if [ -f "$dir/Makefile" ] && [ "$(cat "$dir/.options" 2>/dev/null)" = "$*" ]; then
		return 0
	fi
	(cd "$dir" && "$root/configure" "$@") && printf '%s\n' "$*" >"$dir/.options"
}

# The lists of plugin folders are made anew; the rest make finds out by itself.
prepare() {
	if [ -x configure ] && [ -f Makefile.in ]; then ./autogen.sh lists; else ./autogen.sh; fi
}

build() { prepare && configure_in build/quickstart && make -s -C build/quickstart -j"$jobs" all; }

# ---- ./quickstart.sh -----------------------------------------------------------------------------------------------------------

daemon='' signalled=no
# Ctrl-C: the daemon drains. Once more: it leaves now.
on_signal() { signalled=yes; [ -z "$daemon" ] || kill -TERM "$daemon" 2>/dev/null || :; }

port_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

run() {
	local listen=${CHIMERA__SERVER__LISTEN:-127.0.0.1:8080} host port url body tries answer rc=0
	listen=${listen%%,*} host=${listen%:*} port=${listen##*:}
	case $listen in
	unix:* | *[!0-9a-fA-F.:\[\]]* | *:0) die "CHIMERA__SERVER__LISTEN is $listen: quickstart.sh wants ADDRESS:PORT with a port from 1 to 65535" ;;
	esac
	case $host in 0.0.0.0) host=127.0.0.1 ;; '[::]') host='[::1]' ;; esac
	url=http://$host:$port host=${host//[\[\]]/}

	step 'packages for the build'
	install_packages "$build_packages"

	step "build in build/quickstart (log: build/quickstart.log)"
	: >build/quickstart.log
	quiet build/quickstart.log build || die 'the build failed; above is the end of its log'

	step "start chimerad -c conf/quickstart.ini on $url"
	! port_open "$host" "$port" || die "$host:$port is in use by another program: stop it, or take another address:" \
		"CHIMERA__SERVER__LISTEN=$host:$((port % 65535 + 1)) ./quickstart.sh"
	mkdir -p build/quickstart/state
	trap on_signal INT TERM HUP
	# A session of its own: the terminal's Ctrl-C reaches this script alone, which passes it on once.
	setsid build/quickstart/chimerad -c conf/quickstart.ini -o server.plugin_dir="$root/build/quickstart/plugins/.libs" &
	daemon=$!

	for ((tries = 0; ; tries++)); do
		kill -0 "$daemon" 2>/dev/null || { wait "$daemon" || rc=$?; die "chimerad ended with exit code $rc before it was ready; it says why above"; }
		[ "$(curl -s -m 2 -o /dev/null -w '%{http_code}' "$url/ready" || :)" != 200 ] || break
		[ $tries -lt 600 ] || { kill -TERM "$daemon"; die "chimerad was not ready within 30 s; it says why above"; }
		sleep 0.05
	done

	step 'a first request'
	body='{"prompt":"Say hello"}'
	answer=$(curl -sS -m 10 --fail-with-body "$url/v1/ask" -H 'content-type: application/json' -d "$body") || {
		kill -TERM "$daemon"
		wait "$daemon" || :
		die "the first request failed: $answer"
	}
	printf '\n%s\n' "$answer"

	step 'running; Ctrl-C ends it'
	cat <<END

Once more:

  curl $url/v1/ask -H 'content-type: application/json' -d '$body'

From Python:

  import requests
  answer = requests.post("$url/v1/ask", json={"prompt": "Say hello"}).json()
  print(answer["answer"])

From JavaScript:

  const reply = await fetch("$url/v1/ask", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({prompt: "Say hello"}),
  });
  console.log((await reply.json()).answer);

Health: $url/ready   Metrics: $url/metrics   API: $url/openapi.json

Look inside, from another terminal:

  build/quickstart/chimeractl -c conf/quickstart.ini -o server.plugin_dir=\$PWD/build/quickstart/plugins/.libs status
  (also: plugins, options dryrun, check, log level debug)

END
	# A signal ends wait early; the daemon decides when it is over.
	signalled=yes
	while [ $signalled = yes ]; do
		signalled=no rc=0
		wait "$daemon" || rc=$?
	done
	exit $rc
}

# ---- ./quickstart.sh --check -----------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0

# one LOG COMMAND…: a step that passes or fails as a whole.
one() {
	local log=$1
	shift
	[ "$1" = met ] || : >"$log" # it is written already
	if quiet "$log" "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Counts the tests of a `make check` in FOLDER: cases where a test tells its cases (cmocka, pytest), else the program; names what failed or was skipped.
tally() {
	local dir=$1 trs log result p f s sum_p=0 sum_f=0 sum_s=0
	while read -r trs; do
		log=${trs%.trs}.log
		result=$(sed -n 's/^:test-result: //p' "$trs" | head -n 1)
		read -r p f s < <(awk '
			/^\[  PASSED  \] [0-9]+ test/ { p += $4 }
			/^\[  FAILED  \] [0-9]+ test/ { f += $4 }
			/^\[  SKIPPED \] [0-9]+ test/ { s += $4 }
			/^=*.*[0-9]+ (passed|failed|skipped|error|errors).* in [0-9.]+s/ {
				for (i = 2; i <= NF; i++) {
					if ($i ~ /^passed/) p += $(i - 1)
					if ($i ~ /^(failed|error)/) f += $(i - 1)
					if ($i ~ /^skipped/) s += $(i - 1)
				}
			}
			END { print p + 0, f + 0, s + 0 }' "$log")
		case $result in
		PASS) [ $((p + s)) != 0 ] || p=1 ;;
		SKIP) [ $s != 0 ] || s=1; note "skipped: ${log#"$dir"/}: $(grep -v '(exit status: ' "$log" | tail -n 1)" ;;
		*)
			[ $f != 0 ] || f=1
			note "failed: ${log#"$dir"/}"
			tail -n 60 "$log" >&2
			;;
		esac
		sum_p=$((sum_p + p)) sum_f=$((sum_f + f)) sum_s=$((sum_s + s))
	done < <(find "$dir" -name '*.trs' | sort)
	note "$sum_p passed, $sum_f failed, $sum_s skipped"
	passed=$((passed + sum_p)) failed=$((failed + sum_f)) skipped=$((skipped + sum_s))
	[ $sum_f = 0 ]
}

# Tests mostly wait, and what stands in the queue takes what they leave: ahead NAME COMMAND…, with the log build/NAME.log. Says nothing; met NAME
# waits for it and is its exit status, or 1 if it was never begun.
declare -A jobs_ahead
ahead() {
	local name=$1
	shift
	{
		renice -n 19 "$BASHPID" || :
		"$@"
	} >"build/$name.log" 2>&1 &
	jobs_ahead[$name]=$!
}
met() {
	local pid=${jobs_ahead[$1]-}
	[ -n "$pid" ] && wait "$pid"
}

# make_in FOLDER: all of it, and the programs of its tests.
make_in() { make -s -C "$1" -j"$jobs" all && make -s -C "$1" -j"$jobs" check TESTS=; }

# build_suite NAME configure options: in build/NAME.
build_suite() {
	local dir=build/$1
	shift
	configure_in "$dir" "$@" && make_in "$dir"
}

# suite NAME configure options: builds in build/NAME, unless that went on ahead, runs `next` ahead, and `make check`.
next=:
suite() {
	local dir=build/$1 log=build/$1.log began rc=0
	mkdir -p "$dir"
	find "$dir" -name '*.trs' -delete
	note 'building'
	if [ -n "${jobs_ahead[$1]-}" ]; then met "$1" || :; else : >"$log"; fi
	if ! quiet "$log" build_suite "$@"; then
		failed=$((failed + 1))
		return
	fi
	$next
	note 'testing'
	began=$SECONDS
	make -C "$dir" -j"$jobs" check >>"$log" 2>&1 || rc=$?
	note "done in $((SECONDS - began)) s"
	if tally "$dir" && [ $rc != 0 ]; then
		note "make check itself failed; the end of $log:"
		tail -n 40 "$log" >&2
		failed=$((failed + 1))
	fi
}

plain=(plain --enable-werror --prefix="$root/build/plain/root")
asan=(asan --enable-werror --enable-sanitizers=address,undefined CFLAGS='-g1 -O1')
tsan=(tsan --enable-werror --enable-sanitizers=thread CFLAGS='-g1 -O1')

distcheck() { make -C build/plain -j"$jobs" distcheck; }
build_fuzzers() { configure_in build/fuzz --enable-fuzzers CC=clang && make -s -C build/fuzz -j"$jobs" fuzzers; }
fuzz() { build_fuzzers && make -C build/fuzz fuzz FUZZ_SECONDS="$CHIMERA_FUZZ_SECONDS"; }

build_asan() { ahead asan build_suite "${asan[@]}"; }
build_tsan() { ahead tsan build_suite "${tsan[@]}"; }
build_rest() {
	ahead fuzz build_fuzzers
	ahead distcheck distcheck
}

check() {
	steps=8
	step 'packages for the build and the tests'
	install_packages "$check_packages"
	one build/autogen.log ./autogen.sh

	openapi_validator
	openai_client

	step 'make check, every warning an error (log: build/plain.log)'
	next=build_asan
	CHIMERA_KILL_ROUNDS=20 suite "${plain[@]}"

	step "an author's first ten minutes, from what make install gives (log: build/journey.log)"
	one build/journey.log make -C build/plain check-journey
	grep -E '^[.]? +[0-9]+\.[0-9]+ s  ' build/journey.log || :

	step 'make check with the address and undefined-behaviour sanitizers (log: build/asan.log)'
	next=build_tsan
	suite "${asan[@]}"

	step 'make check with the thread sanitizer and 4 workers (log: build/tsan.log)'
	next=build_rest
	CHIMERA_TEST_WORKERS=4 FUZZ_ITERATIONS=1000 suite "${tsan[@]}"

	step 'make distcheck (log: build/distcheck.log)'
	one build/distcheck.log met distcheck

	step "libFuzzer, ${CHIMERA_FUZZ_SECONDS:=6} s for each parser (log: build/fuzz.log)"
	met fuzz || :
	one build/fuzz.log fuzz

	step 'the benchmark, short'
	if [ -x tests/bench/run ]; then
		one build/bench.log env CHIMERA_BUILD="$root/build/plain" tests/bench/run --quick
		cat build/bench.log
	else
		note 'skipped: there is no tests/bench/run'
		skipped=$((skipped + 1))
	fi

	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
}

# A validator of OpenAPI 3.1 is in no Debian package, but in npm's registry: used where npm is here and reaches it.
openapi_validator() {
	local dir=build/npm
	command -v npm >/dev/null || { note 'no npm here: the test that needs the OpenAPI validator is skipped'; return 0; }
	mkdir -p $dir
	[ -d $dir/node_modules/@seriousme ] ||
		npm install --prefix $dir --no-audit --no-fund --silent @seriousme/openapi-schema-validator@2 >build/npm.log 2>&1 ||
		{ note 'npm could not install the OpenAPI validator (build/npm.log): its test is skipped'; return 0; }
	cat >$dir/validate.mjs <<'END'
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
const validator = new Validator();
const result = await validator.validate(JSON.parse(readFileSync(process.argv[2], "utf8")));
console.log(validator.version, result.valid ? "valid" : JSON.stringify(result.errors));
process.exit(result.valid && validator.version === "3.1" ? 0 : 1);
END
	export CHIMERA_OPENAPI_VALIDATOR=$root/$dir/validate.mjs
}

# The official client for JavaScript, a package without dependencies: not vendored, but pinned, and driven as it is by tests/e2e/inference.
openai_client() {
	local dir=build/npm version=7.57.0 tarball=build/npm/openai.tgz why=
	local sha512=RbmrdE5NdfW6nGq/FaCJ3KFCZpotoExPzruQUSMCTw/ouUFO08vpvVdSmgmPxQMFAiv9EXZCEXvcWYU+n6NzsQ==
	command -v node >/dev/null || { note 'no node here: the tests that drive the npm package openai are skipped'; return 0; }
	if ! grep -q "\"version\": \"$version\"" $dir/node_modules/openai/package.json 2>/dev/null; then
		mkdir -p $dir/node_modules
		rm -rf $dir/node_modules/openai
		if command -v npm >/dev/null; then
			npm install --prefix $dir --no-audit --no-fund --silent "openai@$version" >build/openai.log 2>&1 || why='npm could not install it'
		elif ! curl -sSf -m 120 -o $tarball "https://registry.npmjs.org/openai/-/openai-$version.tgz" 2>build/openai.log; then
			why='it could not be fetched'
		elif [ "$(openssl dgst -sha512 -binary $tarball | base64 -w 0)" != "$sha512" ]; then
			why="what was fetched is not what $version was when these tests were written"
		else
			mkdir $dir/node_modules/openai
			tar -xzf $tarball -C $dir/node_modules/openai --strip-components=1 2>build/openai.log || why='it could not be unpacked'
		fi
		[ -z "$why" ] || { rm -rf $dir/node_modules/openai; note "the npm package openai: $why (build/openai.log): its tests are skipped"; return 0; }
	fi
	export CHIMERA_NPM=$root/$dir
}

mkdir -p build
case "${1-}" in
'') run ;;
--check) check ;;
-h | --help) sed -n '4,7s/^# \{0,1\}//p' "$0" ;;
*) die "unknown argument $1: ./quickstart.sh runs chimera, ./quickstart.sh --check runs the tests" ;;
esac
