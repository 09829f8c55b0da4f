# SPDX-License-Identifier: BSD-3-Clause
# What is wrong with a device is said, with the remedy, and nothing is left behind.
# seconds: 60
set_up_ports
refused() { # TEXT COMMAND...
  local text=$1 rc
  shift
  timeout 20 "$@" >/tmp/refused.out 2>&1 </dev/null
  rc=$?
  [ $rc = 1 ] || { cat /tmp/refused.out; fail "exit code $rc instead of 1 for: $*"; }
  grep -q "$text" /tmp/refused.out || { cat /tmp/refused.out; fail "not a word of '$text' for: $*"; }
  tail -n 1 /tmp/refused.out
}
sym() { symmetric_mp --lcores 7@0 "$@"; }
export -f sym
application=(-- -p 3 --num-procs 1 --proc-id 0)
refused "driverctl set-override ${pci[2]} vfio-pci" symmetric_mp --lcores 7@0 --file-prefix r1 -a "${pci[2]}" "${application[@]}"
refused "lspci" symmetric_mp --lcores 7@0 --file-prefix r2 -a 0000:ff:1f.7 "${application[@]}"
start_symmetrics 1
refused "group 'vm'" symmetric_mp --lcores 7@0 --file-prefix r3 -a "${pci[0]}" "${application[@]}"
forwarding || fail "the refused group disturbed the running one"
bind_to "${pci[2]}" igb
say "three refusals: bound to the kernel, not there, held by another group"
