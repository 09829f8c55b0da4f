# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by scripts/test-vm: QEMU with an igb device, a Debian kernel that is unpacked and never installed, and an
# initramfs for it.  Each function returns 1 and says why in $prepare_problem where something cannot be had.

prepare_problem=

has_igb() { command -v qemu-system-x86_64 >/dev/null && qemu-system-x86_64 -device help 2>/dev/null | grep -q '^name "igb"'; }

# Bookworm's QEMU is older than its igb: bookworm-backports has a newer one, at the same host and under the same key.
prepare_qemu() { # INSTALL
  has_igb && command -v busybox >/dev/null && return 0
  if [ "$1" = 0 ] || [ "$(id -u)" != 0 ]; then
    prepare_problem="QEMU 8 or newer (with an igb device) and busybox-static are not installed, and only root may install them"
    return 1
  fi
  local suite=bookworm-backports list=/etc/apt/sources.list.d/mpnet-backports.sources source uri key
  if ! grep -rqs "$suite" /etc/apt/sources.list /etc/apt/sources.list.d; then
    source=$(grep -lE '^Suites:.* *bookworm( |$)' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
    if [ -n "$source" ]; then
      uri=$(awk '/^URIs:/ {print $2; exit}' "$source")
      key=$(awk '/^Signed-By:/ {print $2; exit}' "$source")
    else
      uri=$(awk '$1 == "deb" && / bookworm / {for (i = 2; i < NF; ++i) if ($i ~ /:\/\//) {print $i; exit}}' /etc/apt/sources.list 2>/dev/null)
    fi
    if [ -z "$uri" ]; then prepare_problem="this machine has no Debian 12 package source to derive $suite from"; return 1; fi
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$uri" $suite \
      "${key:-/usr/share/keyrings/debian-archive-keyring.gpg}" >$list
    apt-get update -q </dev/null >&2
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends busybox-static dpdk iperf3 tcpdump ethtool </dev/null >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -t $suite qemu-system-x86 </dev/null >&2
  has_igb && command -v busybox >/dev/null && return 0
  prepare_problem="installing QEMU from $suite failed"
  return 1
}

prepare_kernel() { # INSTALL DIR
  ls "$2"/kernel/boot/vmlinuz-* >/dev/null 2>&1 && return 0
  if [ "$1" = 0 ]; then prepare_problem="no kernel for the guest in $2/kernel"; return 1; fi
  local package
  package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image/ {print $2; exit}')
  if [ -z "$package" ] || ! (cd "$2" && apt-get download -q "$package" </dev/null >&2); then
    prepare_problem="the package of a Debian kernel cannot be downloaded"
    return 1
  fi
  rm -rf "$2/kernel.new" && dpkg -x "$2"/linux-image-*.deb "$2/kernel.new" && rm -f "$2"/linux-image-*.deb &&
    mv "$2/kernel.new" "$2/kernel" && return 0
  prepare_problem="the kernel's package cannot be unpacked"
  return 1
}

# In the order in which they must be loaded.
guest_modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p
  irqbypass vfio_virqfd vfio vfio_iommu_type1 vfio-pci-core vfio-pci dca i2c-algo-bit igb llc stp garp mrp 8021q"

make_initramfs() { # DIR FILE [MODULES]: those are taken instead of the kernel's where both have one
  local root modules m file
  root=$(mktemp -d) || return 1
  modules=$(echo "$1"/kernel/lib/modules/*)
  mkdir -p "$root"/{bin,dev,proc,sys,host,modules}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp tests/vm/init "$root/init"
  chmod +x "$root/init"
  for m in $guest_modules; do
    file=$(find ${3:+"$3"} "$modules" -name "$m.ko" -print -quit)
    if [ -n "$file" ]; then cp "$file" "$root/modules/" && echo "$m.ko" >>"$root/modules/order"; fi
  done
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$2"
  rm -rf "$root"
  [ -s "$2" ]
}
