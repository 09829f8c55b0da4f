#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks captures of the wire, which QEMU wrote outside of both drivers.
wire.py received FILE...   every frame that peer.py sends is in each file, byte for byte
wire.py sent FILE...       what vm_probe sent is in each file as it must look on a wire: tags in the frame, every checksum
                           right, segments of at most 1,514 bytes with their own headers, the jumbo in one piece
"""
import struct
import sys

import peer


def frames(path):
    """The frames of a pcap file, without the padding that a short one got."""
    with open(path, "rb") as f:
        data = f.read()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = 24
    while at + 16 <= len(data):
        _, _, captured, _ = struct.unpack(order + "IIII", data[at:at + 16])
        yield data[at + 16:at + 16 + captured]
        at += 16 + captured


def check_received(path):
    seen = list(frames(path))
    missing = [n for n, (f, _) in enumerate(peer.plan()) if not any(s[:len(f)] == f for s in seen)]
    print(f"{path}: {len(seen)} frames, {len(peer.plan()) - len(missing)} of {len(peer.plan())} as they were sent")
    return [f"{path}: frame {n} is not on the wire as it was sent" for n in missing]


def check_sent(path):
    problems, by_port = [], {}
    for f in frames(path):
        if f[6:12] != peer.OURS or f[12:14] not in (b"\x08\x00", b"\x81\x00"):
            continue
        tag = struct.unpack("!H", f[14:16])[0] if f[12:14] == b"\x81\x00" else None
        plain = f[:12] + f[16:] if tag is not None else f
        if plain[14:15] != b"\x45":
            continue
        try:
            port, sequence, payload = peer.verify(plain)
        except ValueError as e:
            problems.append(f"{path}: {e}")
            continue
        by_port.setdefault(port, []).append((sequence, payload, tag, len(f)))
    count = bytes(i & 255 for i in range(8000))
    for port, payload, tag in ((8001, count[:100], None), (8002, count[:100], None), (8003, count[:100], 0x123),
                               (8005, count[:7000], None)):
        if not any(p == payload and t == tag for _, p, t, _ in by_port.get(port, [])):
            problems.append(f"{path}: port {port} is not as it was asked for")
    segments = sorted({(s, p, n) for s, p, _, n in by_port.get(8004, [])})
    if b"".join(p for _, p, _ in segments) != count[:4000] or any(n > 1514 for _, _, n in segments):
        problems.append(f"{path}: the segments are {[(s, len(p), n) for s, p, n in segments]}")
    print(f"{path}: lengths on the wire", {p: [n for _, _, _, n in v] for p, v in sorted(by_port.items())})
    return problems


def main():
    check = {"received": check_received, "sent": check_sent}[sys.argv[1]]
    problems = [p for path in sys.argv[2:] for p in check(path)]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
