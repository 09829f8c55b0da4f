# SPDX-License-Identifier: BSD-3-Clause
# Without an IOMMU the device is refused.
# machine: no-iommu
# seconds: 60
echo N >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode 2>/dev/null
for i in 0 1; do bind_to "${pci[$i]}" vfio-pci || true; done
timeout 30 symmetric_mp --lcores 0@0 --file-prefix vm "${use_both_ports[@]}" -- -p 3 --num-procs 1 --proc-id 0 >/tmp/out 2>&1 </dev/null
rc=$?
cat /tmp/out
[ $rc = 1 ] || fail "exit code $rc instead of 1"
grep -qi "iommu" /tmp/out || fail "the IOMMU is not named"
say "refused: $(tail -n 1 /tmp/out | cut -c 1-160)"
