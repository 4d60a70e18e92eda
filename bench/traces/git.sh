#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What git.trace is a recording of: work on a git repository of 800 files (the
# kernel's user headers).  Neighbouring commands run at the same time, as an
# editor's, a prompt's and a person's do on one working tree.

set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# The user's own git settings must not matter.
GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@localhost
GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@localhost
export GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL

git init -q -b main tree
cd tree
git config gc.auto 0
cp -R /usr/include/linux /usr/include/asm-generic .
git add .
git commit -q -m import

for round in 1 2 3 4 5; do
	git checkout -q -b "topic$round"
	find linux -type f | awk "NR % 10 == $round" |
		while read -r file; do echo "/* $round */" >>"$file"; done
	git status --short >/dev/null &
	git grep -q 'struct no_such_thing' || :
	wait
	git commit -q -a -m "round $round"
	git checkout -q main
	git merge -q --no-ff -m "merge $round" "topic$round"
	git log -p --stat -n 2 >/dev/null &
	git grep -c 'include <linux/types.h>' >/dev/null
	wait
done

git fsck --full --no-progress &
git worktree add -q ../worktree topic1 &
wait
git -C ../worktree grep -c __u32 topic1 >/dev/null &
git archive --format=tar main | tar tf - >/dev/null
wait
git gc -q
git clone -q --no-hardlinks . ../clone &
git stash list
wait
git -C ../clone status --short
git -C ../clone checkout -q -b old HEAD~2
git -C ../clone diff --stat main >/dev/null
