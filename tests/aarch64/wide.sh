#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Addresses of more than 48 bits: with memory tagging every pointer that malloc
# returns has a tag in its upper byte, which a registry refuses.
#
#   SCTX_TEST_EMULATOR  with the processor's extension for it
#   SCTX_TEST_WIDE      tests/aarch64/wide, built for it

set -eu
$SCTX_TEST_EMULATOR "$SCTX_TEST_WIDE"
status=0
GLIBC_TUNABLES=glibc.mem.tagging=3 $SCTX_TEST_EMULATOR "$SCTX_TEST_WIDE" || status=$?
[ "$status" != 0 ] || { echo "skip: no tagged pointers here"; exit 77; }
[ "$status" = 3 ]
