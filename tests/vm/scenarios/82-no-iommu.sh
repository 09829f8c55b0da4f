# SPDX-License-Identifier: BSD-3-Clause
# Without an IOMMU the device is refused, and the message says what to switch on and how to ask for no-IOMMU mode; asked
# for, it is refused as long as the kernel's switch is off.
# machine: no-iommu
# seconds: 60
refused() { # TEXT DEVICE
  timeout 30 symmetric_mp --lcores 0@0 --file-prefix vm -a "$2" -a "${pci[1]}" -- -p 3 --num-procs 1 --proc-id 0 >/tmp/out 2>&1 </dev/null
  rc=$?
  cat /tmp/out
  [ $rc = 1 ] || fail "exit code $rc instead of 1"
  grep -q "$1" /tmp/out || fail "'$1' is not in the message"
}
bind_to "${pci[0]}" vfio-pci && skip "vfio-pci binds without an IOMMU"
refused "switch the IOMMU on.*enable_unsafe_noiommu_mode.*no_iommu=1" "${pci[0]}"
refused "allow no-IOMMU mode (enable_unsafe_noiommu_mode=1" "${pci[0]},no_iommu=1"
say "refused twice"
