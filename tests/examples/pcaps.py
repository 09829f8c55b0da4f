#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Captures for tests.
pcaps.py make FILE COUNT SEED     writes COUNT Ethernet frames of differing sizes and contents
pcaps.py same A B [C…]            succeeds when A holds the frames of B, C, … together, byte for byte, each file's in order
pcaps.py routed A MAC B           succeeds when A holds the frames of B in order, each with destination MAC, one and the
                                  same source address, and the rest byte for byte
pcaps.py count FILE               prints how many frames the file holds
"""
import random
import struct
import sys


def make(path, count, seed):
    rng = random.Random(seed)
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i in range(count):
            size = rng.choice([60, 61, 64, 128, 576, 1024, 1500, 1514])
            head = bytes.fromhex("0200000000020200000000010800")
            frame = head + struct.pack("<II", seed, i) + rng.randbytes(size - len(head) - 8)
            f.write(struct.pack("<IIII", 1700000000 + i // 1000, i % 1000 * 1000, size, size) + frame)


def read(path):
    data = open(path, "rb").read()
    if len(data) < 24:
        return []
    order = "<" if struct.unpack("<I", data[:4])[0] in (0xA1B2C3D4, 0xA1B23C4D) else ">"
    frames, at = [], 24
    while at + 16 <= len(data):
        _, _, captured, _ = struct.unpack(order + "IIII", data[at:at + 16])
        frames.append(data[at + 16:at + 16 + captured])
        at += 16 + captured
    return frames


def same(one, *others):
    whole, parts = read(one), [read(p) for p in others]
    at = [0] * len(parts)
    for number, frame in enumerate(whole):
        for i, part in enumerate(parts):
            if at[i] < len(part) and part[at[i]] == frame:
                at[i] += 1
                break
        else:
            print(f"{one}: frame {number} ({len(frame)} bytes) is the next of no other file")
            return 1
    missing = sum(len(p) for p in parts) - len(whole)
    if missing:
        print(f"{one}: {missing} frames are missing of {sum(len(p) for p in parts)}")
    return 1 if missing else 0


def routed(one, mac, other):
    got, sent = read(one), read(other)
    if len(got) != len(sent):
        print(f"{one}: {len(got)} frames, {other} has {len(sent)}")
        return 1
    for number, (frame, before) in enumerate(zip(got, sent)):
        if frame[:6].hex(":") != mac or frame[6:12] != got[0][6:12] or frame[12:] != before[12:]:
            print(f"{one}: frame {number} is not that of {other} with addresses of its own: {frame[:14].hex(':')}")
            return 1
    return 0


if __name__ == "__main__":
    command = sys.argv[1]
    if command == "make":
        make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    elif command == "same":
        sys.exit(same(*sys.argv[2:]))
    elif command == "routed":
        sys.exit(routed(*sys.argv[2:]))
    elif command == "count":
        print(len(read(sys.argv[2])))
    else:
        sys.exit(__doc__)
