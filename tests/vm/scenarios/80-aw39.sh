# SPDX-License-Identifier: BSD-3-Clause
# An IOMMU of 39 bits: device addresses start at 4 GiB wherever the region lies, so they fit.
# machine: aw39
# seconds: 60
set_up_ports
start_symmetrics 1
in_left ping -c 20 -i 0.02 10.9.0.2 >/tmp/ping
grep -q ' 0% packet loss' /tmp/ping || fail "pings were lost"
say "39-bit IOMMU"
