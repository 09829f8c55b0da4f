# SPDX-License-Identifier: BSD-3-Clause
# As 90, in a machine whose emulator counts the guest's instructions: user space's instructions a packet of both.
# machine: counted
# seconds: 240
command -v dpdk-testpmd >/dev/null || skip "dpdk-testpmd is not installed"
[ -e "$MPNET_OUT/instructions" ] || skip "this build has no instruction counter for QEMU"
. "$MPNET_SOURCE/tests/vm/versus.sh"
compare_instructions "${MPNET_VM_SECONDS:-3}"
