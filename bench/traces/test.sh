#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Record small programs whose opens and closes are known, and see that the
# reader takes what is right and names what is wrong.
# Exit 0: all well; 1: something is not; 77: strace cannot work here.

here=$(cd "$(dirname "$0")" && pwd) || exit 1
record=$here/record
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

# expect STATUS NAME COMMAND ...: run it, its messages in ./out
expect() {
	want=$1 name=$2
	shift 2
	"$@" >out 2>&1
	got=$?
	[ $got -eq "$want" ] || fail "$name: exit $got instead of $want: $(cat out)"
}

# said NAME TEXT: ./out has TEXT
said() {
	grep -qF -e "$2" out || fail "$1: no \"$2\" in: $(cat out)"
}

${CC:-cc} -std=gnu11 -Wall -Wextra -o check "$here/check.c" "$here/trace.c" || exit 1

# ---- the reader

{
	echo 'streamctx-trace 1'
	echo '# a header'
	printf 'f 1 18446744073709551615\nf 1 3\n'
	printf 'o 0 0 0\no 1 0 1\no 0 1 1\nc 0 0\no 0 0 1\nc 1 0\nc 0 1\nc 0 0\n'
	echo 'e 4 2 2'
} >good
expect 0 good ./check good
said good 'opens 4 closes 4 files 2 processes 2 max-open 3'

# refused NAME MESSAGE SED-SCRIPT: good, edited, is refused with the message
refused() {
	sed -e "$3" good >bad
	expect 1 "$1" ./check bad
	said "$1" "$2"
}
refused 'first line' 'line 1: not' '1s/1$/2/'
refused 'unknown event' "line 5: unknown event 'x'" '5s/o/x/'
refused 'unknown byte' 'line 5: unknown event, byte 0x01' '5s/o/\x01/'
refused 'empty line' 'line 2: empty' '2s/.*//'
refused 'late header' 'line 5: header among' '5s/.*/# x/'
refused 'not open' 'line 12: close of handle 0 of process 0, which is not open' '11s/1/0/'
refused 'never seen' 'line 8: close of handle 9 of process 0' '8s/0$/9/'
refused 'no such process' 'line 8: close of handle 0 of process 9' '8s/0/9/'
refused 'open twice' 'line 9: open of handle 1 of process 0, which is open' '9s/0 0 1/0 1 1/'
refused 'handle hole' 'line 7: handle 5 comes before handle 1' '7s/1/5/'
refused 'process hole' 'line 6: process 7 comes before process 1' '6s/1/7/'
refused 'no such file' 'line 5: file 2 of 2' '5s/0$/2/'
refused 'overflow' 'line 3: inode is out of range' '3s/5$/6/'
refused '32 bits' 'line 5: handle is out of range' '5s/0 0 0/0 4294967296 0/'
refused 'negative' 'line 5: process is not a number' '5s/0/-1/'
refused 'leading zero' 'line 5: process has a leading zero' '5s/0/00/'
refused 'missing number' 'line 8: no handle' '8s/ 0$//'
refused 'too much' 'line 5: something follows' '5s/$/ /'
refused 'unbalanced' 'line 12: unbalanced: 1 opens' '12d'
refused 'wrong count' 'line 13: 4 opens instead of 5' '13s/4/5/'
refused 'no end' 'line 13: truncated' '13d'
refused 'after the end' 'line 14: something follows the end' '$a# x'
size=$(wc -c <good)
cut=0
while [ $cut -lt "$size" ]; do
	head -c $cut good >bad
	expect 1 "cut at $cut" ./check bad
	cut=$((cut + 1))
done
said 'cut' 'truncated'
expect 1 'no file' ./check nothing
said 'no file' 'No such file'
expect 1 'directory' ./check .
said 'directory' 'not a regular file'

for trace in "$here"/*.trace; do
	expect 0 "$trace" ./check "$trace"
done

# ---- the recorder

usage() {
	expect 2 "usage: $*" "$record" "$@"
	said "usage: $*" 'usage: record'
}
usage
usage true
usage --
usage -o
usage -o trace
usage -o trace true
usage -o '' -- true
usage -x -- true
expect 1 'no strace' env PATH=/nowhere /usr/bin/perl "$record" -- true
said 'no strace' 'install the package "strace"'

if ! strace -f -o /dev/null true 2>/dev/null; then
	[ $failures -eq 0 ] || exit 1
	echo 'strace cannot trace here: the recorder is not tested'
	exit 77
fi

expect 1 'no directory' "$record" -o nowhere/trace -- touch ran
[ ! -e ran ] || fail 'no directory: COMMAND was run all the same'
expect 7 'exit status' "$record" -o trace -- sh -c 'exit 7'
expect 143 'signal' sh -c "'$record' -o trace -- sh -c 'kill -TERM \$\$'; exit \$?"
expect 0 'signal' ./check trace
expect 1 'no command' "$record" -o fresh -- ./nothing
[ ! -e fresh ] || fail 'no command: a trace was left'

# A signal to the recorder ends COMMAND, and the trace is whole.
"$record" -o trace -- sh -c 'exec 3<good; echo >ready; exec sleep 60' 2>out &
until [ -e ready ]; do sleep 0.1; done
kill -TERM $!
wait $! 2>/dev/null
[ $? -eq 143 ] || fail 'TERM: not passed on'
expect 0 'TERM' ./check trace

# A descriptor that is gone before it is identified (the machine is busy) does
# not matter to a story: its files are left to be as old as the recorder asks
# for to find them by name.
touch x y z
sleep 4

tool() {
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -pthread -Wall -o "$1" -x c - || exit 1
}

# story NAME: record ./NAME; what it does with x, y and z is to be what standard
# input says, in order.  (Loaders and locales open files of their own.)
# Processes are letters in order of appearance.
story() {
	expect 0 "$1" "$record" -o trace -- "./$1"
	expect 0 "$1" ./check trace
	ls -i x y z | sed 's/^ *//' >names
	awk '
		FNR == NR { name[$1] = $2; next }
		$1 == "f" { file[files++] = $3 in name ? name[$3] : "" }
		$1 == "o" { held[$2, $3] = file[$4] }
		/^[oc] / && held[$2, $3] != "" {
			if (!($2 in letter))
				letter[$2] = substr("abcdefgh", ++letters, 1)
			print $1, letter[$2], $3, held[$2, $3]
		}
	' names trace >got
	cat >wanted
	cmp -s got wanted || fail "$1: $(diff wanted got)"
}

# Two descriptors, one open: it ends with the second, whichever way each came.
tool dup <<'EOF'
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
	int x = open("x", O_RDONLY), y = open("y", O_RDONLY), z = open("z", O_PATH);
	int a = dup(x), b = fcntl(x, F_DUPFD, 40);

	close(x);
	dup2(y, a);		/* x is left at b */
	close(y);		/* y is left at a */
	dup3(a, b, 0);		/* the last of x */
	dup2(a, a);
	close_range(3, ~0U, 0);	/* the last of y */
	open("x", O_RDONLY);	/* closed by the end */
	return z < 0;
}
EOF
story dup <<'EOF'
o a 0 x
o a 1 y
c a 0 x
c a 1 y
o a 1 x
c a 1 x
EOF

# A child has the parent's descriptors; an open ends when both have let go, and
# is its opener's.  Exec closes what is marked.
tool fork <<'EOF'
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int fd;

	if (argc > 1) {
		open("x", O_RDONLY);
		return 0;
	}
	open("x", O_RDONLY);			/* kept by the child, over its exec */
	open("y", O_RDONLY | O_CLOEXEC);	/* closed last by the parent */
	if (!fork()) {
		fd = open("y", O_RDONLY | O_CLOEXEC);
		fcntl(fd, F_SETFD, 0);
		fd = open("z", O_RDONLY);
		ioctl(fd, FIOCLEX);
		open("x", O_RDONLY | O_CLOEXEC);
		execl(argv[0], argv[0], "x", (char *)0);
	}
	close(3);
	wait(0);
	close(4);
	return 0;
}
EOF
# The child's own y is handle 0, z handle 1 and x 2; exec closes the last two.
story fork <<'EOF'
o a 0 x
o a 1 y
o b 0 y
o b 1 z
o b 2 x
c b 1 z
c b 2 x
o b 2 x
c a 0 x
c b 2 x
c b 0 y
c a 1 y
EOF

# Threads are one process with one table, vforked children are not; a thread's
# exec ends the others.
tool thread <<'EOF'
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *first(void *arg)
{
	open("x", O_RDONLY);
	return arg;
}
static void *second(void *arg)
{
	if (!vfork())
		_exit(close(3));
	open("z", O_RDONLY | O_CLOEXEC);
	execl("./thread", "thread", "again", (char *)0);
	return arg;
}
int main(int argc, char **argv)
{
	pthread_t t;

	(void)argv;
	if (argc > 1)
		return open("y", O_RDONLY) != 4;
	pthread_create(&t, 0, first, 0);
	pthread_join(t, 0);
	close(open("y", O_RDONLY));
	pthread_create(&t, 0, second, 0);
	pause();
	return 1;
}
EOF
story thread <<'EOF'
o a 0 x
o a 1 y
c a 1 y
o a 1 z
c a 1 z
o a 1 y
c a 0 x
c a 1 y
EOF

# A file that is unlinked at once; a name that is hard to read; a FIFO.  What is
# left to be closed by the end is the shell's script and its first two files.
hard='"<a b>) = 5'
mkfifo fifo
cat >shell <<EOF
#!/bin/sh
exec 3>'$hard' 4>&3 3>&-
exec 5>gone; rm gone
exec 6<>fifo
(exec 7<x)
:
EOF
chmod +x shell
# On a busy machine the new files may get away: try again, a few times.
for try in 1 2 3 4 5 6 7 8 9 10; do
	expect 0 shell "$record" -o trace -- ./shell
	grep -q '^# left out, gone.*: 0$' trace && break
done
expect 0 shell ./check trace
grep -q '^# left out, gone.*: 0$' trace || fail "shell, try $try: $(grep '^# left' trace)"
has() {
	grep -q "^f [0-9]* $(stat -c %i "$1")\$" trace
}
has "$hard" || fail 'shell: the hard name is not in the trace'
has fifo && fail 'shell: a FIFO is in the trace'
[ "$(tail -n 4 trace | grep -c '^c 0 ')" -eq 3 ] || fail "shell: $(tail -n 4 trace)"

[ $failures -eq 0 ] && echo 'traces: ok'
[ $failures -eq 0 ]
