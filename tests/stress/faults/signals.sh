#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A signal to each thread every 200 us, while they do everything: with and
# without SA_RESTART (tests/stress/torture.c).
#
#   SCTX_TEST_TORTURE  the program

set -eu
if [ -z "${SCTX_TEST_TORTURE:-}" ]; then
	echo "skip: SCTX_TEST_TORTURE does not name the program"
	exit 77
fi
seconds=$((1 * ${SCTX_TEST_SCALE:-1}))
"$SCTX_TEST_TORTURE" --signals=200 --seconds=$seconds
"$SCTX_TEST_TORTURE" --signals=200 --restart --seconds=$seconds
