# SPDX-License-Identifier: BSD-3-Clause
# A page of 1 GiB, alone and beside pages of 2 MiB.
# machine: gib
# seconds: 150
[ "$(cat /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages)" = 1 ] || fail "the guest has no page of 1 GiB"
mkdir /tmp/gib
mount -t hugetlbfs -o pagesize=1G none /tmp/gib
probe=$MPNET_BUILD/tests/eal/eal_probe

"$probe" -l 0 --file-prefix gib --huge-dir /tmp/gib --legacy-mem -m 2048 >/tmp/short 2>&1 && fail "one page is two"
grep -q -- '--legacy-mem: 2048 MiB asked for, 1024 MiB to be had; .*hugepages-1048576kB' /tmp/short || { cat /tmp/short; fail "the error does not name the pages"; }

mkfifo /tmp/until
start primary sh -c "exec '$probe' -l 0 --file-prefix gib --huge-dir /tmp/gib --legacy-mem -m 1024 -- hold </tmp/until"
exec 9>/tmp/until
wait_for 60 said primary ready || { show primary; fail "the primary did not start"; }
said primary 'Requesting 1 pages of size 1073741824' || { show primary; fail "not on a page of 1 GiB"; }
[ "$(cat /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages)" = 0 ] || fail "the page was not taken"
"$probe" -l 1 --file-prefix gib --proc-type=secondary -- message >/tmp/second 2>&1
grep -q 'answer: hello yourself' /tmp/second || { cat /tmp/second; fail "no secondary on that page"; }
exec 9>&-
end_all
[ "$(cat /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages)" = 1 ] || fail "the page did not come back"

"$probe" -l 0 --file-prefix both --huge-dir /tmp/gib --huge-dir /dev/hugepages -m 1152 --legacy-mem >/tmp/both 2>&1 || { cat /tmp/both; fail "both sizes at once"; }
say "a group on a page of 1 GiB, a secondary on it, the page came back; 1 GiB and 2 MiB pages in one group"
