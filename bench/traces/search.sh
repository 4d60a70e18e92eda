#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What search.trace is a recording of: searches through the headers of the
# system, one process over all files beside two at a time over 64 each, then
# one process for every small file.

cd /usr/include || exit 1
grep -rl 'struct no_such_thing' . &
find . -type f -print0 | xargs -0 -n 64 -P 2 grep -l malloc >/dev/null
wait
find . -name '*.h' -size -2 -exec wc -l '{}' ';' >/dev/null
