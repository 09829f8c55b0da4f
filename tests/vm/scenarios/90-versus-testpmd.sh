# SPDX-License-Identifier: BSD-3-Clause
# Two ports joined to each other, packets going round for ever: packets a second of vm_forward and of dpdk-testpmd's io
# mode, turn and turn about on the same two ports, and the ratio.
# machine: loop
# seconds: 240
command -v dpdk-testpmd >/dev/null || skip "dpdk-testpmd is not installed"
. "$MPNET_SOURCE/tests/vm/versus.sh"
compare_rates "${MPNET_VM_ROUNDS:-2}" "${MPNET_VM_SECONDS:-3}"
