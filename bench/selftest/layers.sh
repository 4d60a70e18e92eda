#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# layers.sh FOLDER OBJECT...: calls between the objects go down (bench/layers), and
# objects.py would say so if they did not: with the list upside down, it must.
set -eu
export PYTHONPATH=tests/meta PYTHONDONTWRITEBYTECODE=1
folder=$1
python3 bench/selftest/objects.py bench/layers "$@"
tac bench/layers >"$folder/layers.upside-down"
if python3 bench/selftest/objects.py "$folder/layers.upside-down" "$@" >/dev/null; then
	echo "BAD objects.py finds nothing in a list that is upside down"
	exit 1
fi
