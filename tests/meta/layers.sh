#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The rooms of lib/ are layers, and the script that says so notices a call up.

set -eu
cd "$(dirname "$0")/../.."
objects=$(dirname "${SCTX_TEST_SO:-build/libstreamctx.so}")/lib
tests/meta/layers.py "$objects"
tests/meta/layers.py --mutant "$objects"
