#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# autogen.sh - collects the plugin folders and makes ./configure.
#
#   ./autogen.sh          both
#   ./autogen.sh lists    only the lists of plugins; a file that would not change is not touched, so that `make` finds out by itself
#                         whether a folder came or went
set -eu
cd "$(dirname "$0")"

# put FILE: standard input becomes FILE if it differs.
put() {
	cat >"$1.new"
	if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

folders() {
	for fragment in plugins/*/plugin.am; do
		[ ! -f "$fragment" ] || dirname "$fragment"
	done
}

# Which sources and headers does no Makefile fragment name? A forgotten one is missing from the tarball: say so early.
forgotten() {
	find core sdk plugins tests/fuzz tests/plugins tests/corpus tests/harness -name '*.[ch]' 2>/dev/null | sort | while read -r source; do
		grep -qF "${source##*/}" Makefile.am plugins/*/*.am sdk/templates/templates.am sdk/examples/examples.am tests/plugins/plugins.am 2>/dev/null ||
			grep -qE "(^|[^a-z0-9_/])${source%.c}([^a-z0-9_]|\$)" Makefile.am plugins/*/*.am sdk/templates/templates.am sdk/examples/examples.am tests/plugins/plugins.am 2>/dev/null ||
			echo "autogen.sh: $source stands in no source list (Makefile.am, or its folder's plugin.am)" >&2
	done
}

mkdir -p plugins
{
	echo '# Made by autogen.sh: one line for each plugins/*/plugin.am.'
	for folder in $(folders); do
		echo "include $folder/plugin.am"
	done
} | put plugins/plugins.am
{
	echo 'dnl Made by autogen.sh: the library check of each plugin folder, or none needed.'
	for folder in $(folders); do
		if [ -f "$folder/plugin.m4" ]; then
			echo "m4_include([$folder/plugin.m4])"
		else
			echo "CHIMERA_PLUGIN([${folder##*/}], [yes], [])"
		fi
	done
} | put plugins/plugins.m4

[ "${1-}" != lists ] || exit 0
for tool in autoreconf automake libtoolize pkg-config; do
	command -v "$tool" >/dev/null || {
		echo "autogen.sh: $tool is not installed: on Debian run 'apt-get install autoconf automake libtool pkg-config', or let ./quickstart.sh do it" >&2
		exit 1
	}
done
forgotten
said=$(autoreconf --install --force 2>&1) && good=yes || good=no
echo "$said" | grep -vE '^$|^libtoolize: |: installing ' >&2 || :
[ "$good" = yes ]
