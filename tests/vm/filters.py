#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tells vm_filter what to let through, sends frames as its peer, and checks which of them arrive.
filters.py IFACE COMMANDS ANSWERS    COMMANDS is vm_filter's input, ANSWERS the file of its output; run as the peer
"""
import socket
import struct
import sys
import time

OWN, EXTRA, STRANGER = "52:54:00:00:00:00", "02:00:00:00:00:77", "02:00:00:00:00:99"
GROUP, OTHER_GROUP, EVERYBODY = "01:00:5e:00:00:42", "01:00:5e:00:07:13", "ff:ff:ff:ff:ff:ff"
NEW_OWN = "02:00:00:00:00:aa"
PEER = bytes.fromhex("525400000002")


def mac(text):
    return bytes(int(b, 16) for b in text.split(":"))


class filter_under_test:
    def __init__(self, interface, commands, answers):
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.wire.bind((interface, 0))
        self.commands = open(commands, "w", buffering=1)
        self.answers = open(answers)
        self.number = 0
        self.problems = 0
        self.read_until(lambda line: line.startswith("ready"))

    def read_until(self, good):
        lines, end = [], time.monotonic() + 20
        while True:
            line = self.answers.readline()
            if line:
                lines.append(line.strip())
                if good(lines[-1]):
                    return lines
            elif time.monotonic() > end:
                sys.exit(f"no answer; so far: {lines}")
            else:
                time.sleep(0.01)

    def tell(self, command):
        self.commands.write(command + "\n")
        lines = self.read_until(lambda line: line == "done" or line.startswith("failed"))
        if lines[-1] != "done":
            sys.exit(f"{command}: {lines[-1]}")
        return lines[:-1]

    def send(self, destination, vlan=None):
        self.number += 1
        tag = struct.pack("!HH", 0x8100, vlan) if vlan is not None else b""
        self.wire.send(mac(destination) + PEER + tag + struct.pack("!HH", 0x88B5, self.number) + bytes(46))
        return self.number

    def expect(self, what, passing, stopped=(), vlan=None):
        """`passing` must arrive, `stopped` must not.  Frames keep their order, so the broadcast sent last ends the wait."""
        for frames in (passing, stopped):
            for entry in frames:
                assert isinstance(entry, (str, tuple)), entry
        send = lambda entry: self.send(*entry) if isinstance(entry, tuple) else self.send(entry, vlan)
        good, bad = [send(f) for f in passing], [send(f) for f in stopped]
        last = self.send(EVERYBODY)
        got, end = set(), time.monotonic() + 20
        while last not in got and time.monotonic() < end:
            got |= {int(line.split()[1]) for line in self.tell("frames") if line.startswith("frame ")}
        missing, extra = [n for n in good if n not in got], [n for n in bad if n in got]
        ok = last in got and not missing and not extra
        self.problems += not ok
        print(f"{'ok' if ok else 'FAILED'}: {what}" + ("" if ok else f": missing {missing}, extra {extra}, {last in got}"))

    def check(self, what, ok):
        self.problems += not ok
        print(f"{'ok' if ok else 'FAILED'}: {what}")


def main():
    f = filter_under_test(*sys.argv[1:4])
    f.expect("its own address and broadcasts pass, nothing else", [OWN, EVERYBODY], [EXTRA, STRANGER, GROUP])
    f.tell(f"mac add {EXTRA}")
    f.expect("an added address passes", [OWN, EXTRA], [STRANGER])
    f.tell(f"mac remove {EXTRA}")
    f.expect("a removed one does not", [OWN], [EXTRA])
    f.tell(f"multicast {GROUP}")
    f.expect("a group on the list passes", [GROUP], [OTHER_GROUP])
    f.tell("allmulticast on")
    f.expect("every group passes", [GROUP, OTHER_GROUP], [STRANGER])
    f.tell("allmulticast off")
    f.expect("the list holds again", [GROUP], [OTHER_GROUP])
    f.tell("multicast")
    f.expect("an empty list lets no group through", [OWN], [GROUP, OTHER_GROUP])
    f.tell("promiscuous on")
    f.expect("everything passes", [OWN, STRANGER, GROUP, OTHER_GROUP])
    f.tell("promiscuous off")
    f.expect("and stops passing", [OWN], [STRANGER, GROUP])
    f.tell("vlan 7 on")
    f.expect("frames of a chosen VLAN pass", [(OWN, 7), OWN], [(OWN, 8)])
    f.tell("vlan 8 on")
    f.tell("vlan 7 off")
    f.expect("the choice can be changed", [(OWN, 8)], [(OWN, 7)])
    f.tell(f"own {NEW_OWN}")
    f.expect("a new address of its own replaces the old one", [NEW_OWN], [OWN])
    f.tell(f"own {OWN}")
    f.check("flow control is set and told", f.tell("flow 1 1") == ["flow: rx 1 tx 1 high 24576"]
            and f.tell("flow 0 0")[0].startswith("flow: rx 0 tx 0"))
    said = f.tell("descriptors")
    f.check(f"descriptor states: {said}", said == ["descriptors: rx 0 available, rx 200 available, rx 511 unavailable, "
                                                   "tx 511 done"])
    f.send(OWN)
    end = time.monotonic() + 10
    while " rx 0 done," not in f.tell("descriptors")[0].replace("descriptors:", "") and time.monotonic() < end:
        pass
    said = f.tell("descriptors")
    f.check(f"a packet that waits is seen: {said}", "rx 0 done" in said[0])
    said = f.tell("registers")
    words = said[0].replace(",", "").split()
    f.check(f"registers are dumped: {said}", int(words[1]) > 100 and int(words[3], 16) & 2 and int(words[5]) == 8192)
    return 1 if f.problems else 0


if __name__ == "__main__":
    sys.exit(main())
