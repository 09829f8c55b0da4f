#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's side of the offload scenarios, in the guest.
peer.py send IFACE            the frames that vm_probe receives, Microsoft's RSS vectors among them
peer.py check-received FILE   what vm_probe must have said about them
peer.py capture IFACE         prints "ready"; ends when vm_probe's packets have come; checks each of them
"""
import socket
import struct
import sys

OURS = bytes.fromhex("525400000000")
PEER = bytes.fromhex("525400000002")

V4 = [("66.9.149.187", "161.142.100.80", 2794, 1766, 0x323E8FC2, 0x51CCC178),
      ("199.92.111.2", "65.69.140.83", 14230, 4739, 0xD718262A, 0xC626B0EA),
      ("24.19.198.95", "12.22.207.184", 12898, 38024, 0xD2D0A5DE, 0x5C2B394A),
      ("38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xAFC7327F),
      ("153.39.163.191", "202.188.127.2", 44251, 1303, 0x5D1809C5, 0x10E828A2)]
V6 = [("3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2CC18CD5, 0x40207D3D),
      ("3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0F0C461C, 0xDDE51BBF),
      ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024, 0x4B61E985, 0x02D1FEEF)]


def fold(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def frame(src, dst, protocol, sport, dport, payload, vlan=None, bad_ip=False, bad_l4=False):
    v6 = ":" in src
    family = socket.AF_INET6 if v6 else socket.AF_INET
    s, d = socket.inet_pton(family, src), socket.inet_pton(family, dst)
    if protocol == 6:
        l4 = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, 0x10, 1000, 0, 0) + payload
        at = 16
    else:
        l4 = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
        at = 6
    check = 0xFFFF ^ fold(s + d + struct.pack("!II", len(l4), protocol) + l4)
    if bad_l4:
        check ^= 0x5A5A
    l4 = l4[:at] + struct.pack("!H", check) + l4[at + 2:]
    if v6:
        l3 = struct.pack("!IHBB", 6 << 28, len(l4), protocol, 64) + s + d
    else:
        l3 = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(l4), 1, 0, 64, protocol, 0) + s + d
        ip_check = (0xFFFF ^ fold(l3)) ^ (0x1111 if bad_ip else 0)
        l3 = l3[:10] + struct.pack("!H", ip_check) + l3[12:]
    tag = struct.pack("!HH", 0x8100, vlan) if vlan is not None else b""
    return OURS + PEER + tag + struct.pack("!H", 0x86DD if v6 else 0x0800) + l3 + l4


def plan():
    """Frames, each with what vm_probe has to say about it."""
    out = [(frame("10.9.0.1", "10.9.0.77", 17, 1, 2, b"x" * 100), {"ip": "good", "l4": "good", "vlan": "-1"}),
           (frame("10.9.0.1", "10.9.0.77", 17, 1, 2, b"x" * 100, bad_l4=True), {"ip": "good", "l4": "bad"}),
           (frame("10.9.0.1", "10.9.0.77", 6, 1, 2, b"x" * 100, bad_ip=True), {"ip": "bad"}),
           (frame("10.9.0.1", "10.9.0.77", 17, 1, 2, b"x" * 100, vlan=0x2123), {"vlan": str(0x2123), "len": "142"}),
           (frame("10.9.0.1", "10.9.0.77", 17, 1, 2, b"x" * 8000), {"segments": "4", "len": "8042", "l4": "good"})]
    for vectors in (V4, V6):
        for src, dst, sport, dport, _, ports in vectors:
            for protocol in (6, 17):
                out.append((frame(src, dst, protocol, sport, dport, b"y" * 20), {"hash": f"{ports:08x}"}))
    return out


def send(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((interface, 0))
    for data, _ in plan():
        s.send(data)


def check_received(path):
    # Frames of different flows come through different queues: each expectation must be met by a line of its own.
    lines = [dict(word.split("=") for word in line.split()[1:]) for line in open(path) if line.startswith("packet ")]
    missing = []
    for number, (_, expected) in enumerate(plan()):
        hit = next((l for l in lines if all(l.get(k) == v for k, v in expected.items())), None)
        if hit is None:
            missing.append(f"frame {number}: nothing with {expected}")
        else:
            lines.remove(hit)
    print("\n".join(missing) or f"{len(plan())} frames as expected")
    return 1 if missing else 0


def verify(data):
    """Checks IP and L4 sums of a captured IPv4 frame; returns destination port, sequence number and payload."""
    ip = data[14:]
    header = ip[:20]
    if fold(header) != 0xFFFF:
        raise ValueError("IP checksum")
    total = struct.unpack("!H", ip[2:4])[0]
    l4 = ip[20:total]
    if fold(ip[12:20] + struct.pack("!II", len(l4), ip[9]) + l4) != 0xFFFF:
        raise ValueError("L4 checksum")
    port = struct.unpack("!H", l4[2:4])[0]
    sequence = struct.unpack("!I", l4[4:8])[0] if ip[9] == 6 else 0
    return port, sequence, l4[20 if ip[9] == 6 else 8:]


def capture(interface, wanted=7):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((interface, 0))
    s.settimeout(20)
    SOL_PACKET, PACKET_AUXDATA = 263, 8
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    print("ready", flush=True)
    got, tags = {}, {}
    while sum(len(v) for v in got.values()) < wanted:
        data, ancillary, _, _ = s.recvmsg(10000, 256)
        if data[6:12] != OURS or data[12:14] != b"\x08\x00" and data[12:14] != b"\x81\x00":
            continue
        vlan = None
        if data[12:14] == b"\x81\x00":
            vlan = struct.unpack("!H", data[14:16])[0]
            data = data[:12] + data[16:]
        for level, kind, aux in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci = struct.unpack_from("IIIHHH", aux)
                if status & 0x10:
                    vlan = tci
        port, sequence, payload = verify(data)
        got.setdefault(port, []).append((sequence, payload))
        if vlan is not None:
            tags[port] = vlan
    count = bytes(i & 255 for i in range(8000))
    ok = (got[8001][0][1] == count[:100] and got[8002][0][1] == count[:100] and got[8003][0][1] == count[:100]
          and tags == {8003: 0x123} and got[8005][0][1] == count[:7000])
    whole = b"".join(p for _, p in sorted(got[8004]))
    ok = ok and whole == count[:4000] and sorted(q for q, _ in got[8004]) == [0, 1448, 2896]
    print("packets:", {k: [(q, len(p)) for q, p in v] for k, v in got.items()}, "tags:", tags)
    return 0 if ok else 1


if __name__ == "__main__":
    command = sys.argv[1]
    if command == "send":
        sys.exit(send(sys.argv[2]))
    if command == "count":
        print(len(plan()))
        sys.exit(0)
    sys.exit(check_received(sys.argv[2]) if command == "check-received" else capture(sys.argv[2]))
