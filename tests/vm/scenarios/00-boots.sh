# SPDX-License-Identifier: BSD-3-Clause
# The guest has four igb ports and an IOMMU, and the kernel's driver brings two of them up.
[ ${#pci[@]} = 4 ] || fail "there are ${#pci[@]} igb ports: ${pci[*]}"
ls /sys/class/iommu/ | grep -q . || fail "there is no IOMMU"
set_up_ports
[ -c /dev/vfio/vfio ] || fail "there is no /dev/vfio/vfio"
say "clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource), $(uname -r), $(nproc) processors, $(ls /sys/kernel/iommu_groups | wc -l) IOMMU groups"
