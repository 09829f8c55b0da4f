# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by scripts that need hugepages: reserve_hugepages N makes sure that N 2 MiB pages are free and hugetlbfs is
# mounted; give_back_hugepages returns what the former took, and nothing else.  Neither fails: what needs hugepages says so.

hugepages_taken=0
hugetlbfs_mounted=
hugepages_file=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages

reserve_hugepages() {
  local wanted=$1 have free
  [ -r $hugepages_file ] || { echo "hugepages: this kernel has none; 4 KiB pages are used"; return 0; }
  have=$(cat $hugepages_file)
  free=$(cat "${hugepages_file%/*}/free_hugepages")
  if [ "$free" -lt "$wanted" ]; then
    if ! echo $((have + wanted - free)) 2>/dev/null >$hugepages_file; then
      echo "hugepages: $free of $wanted pages are free, and only root may reserve more"
    fi
    hugepages_taken=$(($(cat $hugepages_file) - have))
    echo "hugepages: reserved $hugepages_taken pages of 2 MiB"
  fi
  if ! grep -q ' hugetlbfs ' /proc/mounts && [ "$(id -u)" = 0 ]; then
    mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages -o pagesize=2M 2>/dev/null &&
      hugetlbfs_mounted=/dev/hugepages
  fi
  return 0
}

give_back_hugepages() {
  [ -z "$hugetlbfs_mounted" ] || umount "$hugetlbfs_mounted" 2>/dev/null
  hugetlbfs_mounted=
  if [ "$hugepages_taken" -gt 0 ]; then
    echo $(($(cat $hugepages_file) - hugepages_taken)) >$hugepages_file
    hugepages_taken=0
  fi
  return 0
}
