#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the house itself: what a reader may rely on in every file.  Usage: check.py CHECK SOURCE_DIR"""
import fnmatch
import os
import re
import subprocess
import sys

ROOT = ""
SOURCE = (".cpp", ".hpp", ".c", ".h")


def files(*folders):
    """Paths, relative to the root, of the project's files under these folders; build trees are none of its own."""
    for folder in folders:
        for here, folders_in, names in os.walk(os.path.join(ROOT, folder)):
            folders_in[:] = sorted(d for d in folders_in if not d.startswith((".git", ".cache", "build", "__pycache")))
            if os.path.samefile(here, ROOT) and "install" in folders_in:
                folders_in.remove("install")
            for name in sorted(names):
                if not name.endswith((".pyc", "~", ".swp")):
                    yield os.path.relpath(os.path.join(here, name), ROOT)


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def read_layers():
    layers = []
    for line in text("tests/house/layers.txt").splitlines():
        if line and not line.startswith("#"):
            name, patterns = line.split(":")
            layers.append((name, patterns.split()))
    return layers


def check_layers():
    layers = read_layers()
    rank = {name: i for i, (name, _) in enumerate(layers)}

    def header_rank(header):
        for i, (_, patterns) in enumerate(layers):
            if any(fnmatch.fnmatch(header, p) for p in patterns):
                return i
        return None

    for path in files("include", "src"):
        if not path.endswith(SOURCE):
            continue
        if path.startswith("include/mpnet/"):
            own = header_rank(path[len("include/mpnet/"):])
            if own is None:
                yield f"{path}: belongs to no layer; name it in tests/house/layers.txt"
                continue
        else:
            own = rank.get(path.split("/")[1])
            if own is None:
                yield f"{path}: src/{path.split('/')[1]} is no layer"
                continue
        for number, line in enumerate(text(path).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*(?:<mpnet/([^>]+)>|"([^"]+)")', line)
            if not m:
                continue
            if m.group(1):
                other = header_rank(m.group(1))
            else:
                other = rank.get(m.group(2).split("/")[0]) if "/" in m.group(2) else own
            if other is not None and other > own:
                yield f"{path}:{number}: {layers[own][0]} includes {m.group(1) or m.group(2)} of the layer {layers[other][0]} above it"


def check_labels():
    seen = {"R": {}, "A": {}}
    outside = set()  # acquires whose partner is the kernel or a device, as the comment says
    for path in files("include", "src"):
        if not path.endswith(SOURCE):
            continue
        lines = text(path).splitlines()
        for number, line in enumerate(lines, 1):
            for side, name in re.findall(r"\[([RA])-([a-z0-9_-]+)\]", line):
                seen[side].setdefault(name, f"{path}:{number}")
                if re.search(r"kernel|device|hardware", " ".join(lines[number - 1:number + 3])):
                    outside.add((side, name))
    for side, other in (("R", "A"), ("A", "R")):
        for name, where in sorted(seen[side].items()):
            if name not in seen[other] and (side, name) not in outside:
                yield f"{where}: [{side}-{name}] has no [{other}-{name}]"


def check_licence():
    for path in files(""):
        name = os.path.basename(path)
        is_source = path.endswith(SOURCE + (".py", ".sh", ".cmake", ".in", ".pml")) or name in ("CMakeLists.txt", "Makefile")
        if is_source or path.startswith(("scripts/", ".ci/")):
            if "SPDX-License-Identifier: BSD-3-Clause" not in "\n".join(text(path).splitlines()[:3]):
                yield f"{path}: no SPDX line among the first three"


def check_places():
    # Written in pieces, so that this file passes its own check.
    wrong = [("a path of one machine", r"(?<![\w.~-])/(?:wor" + r"k|hom" + r"e|roo" + r"t)/(?!\w*>)"),
             ("a registry's host", r"deb" + r"ian\.org|npm" + r"js\.|pypi\.or" + r"g|google" + r"apis"),
             ("an issue's number", r"\bissue[s]? #?\d"),
             ("a file outside the project", r"\.\./shar" + r"ed/")]
    for path in files(""):
        if path.endswith((".pcap", ".png", ".gz", ".bin")):
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            for what, pattern in wrong:
                if re.search(pattern, line):
                    yield f"{path}:{number}: names {what}"


def check_top():
    """What the project has at the top level is known.  Only what is in the repository, where there is one."""
    allowed = set(""".ci .clang-format .clang-tidy .gitignore CMakeLists.txt CMakePresets.json LICENSE README.md
                     bench docs examples include scripts src tests tools""".split())
    git = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False)
    listed = git.stdout.split("\0") if git.returncode == 0 else files("")
    for name in sorted({path.split("/")[0] for path in listed if path} - allowed):
        yield f"{name}: no name of the top level; what there is has its place in one of the folders"


def check_examples():
    for path in files("examples", "tools"):
        if not path.endswith(SOURCE):
            continue
        lines = text(path).splitlines()
        if path.startswith("examples/") and len(lines) > 150:
            yield f"{path}: {len(lines)} lines; an example has at most 150, common parts belong in the library"
        for number, line in enumerate(lines, 1):
            m = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if m and (m.group(1).startswith("mpnet/detail/") or (ROOT and os.path.exists(os.path.join(ROOT, "src", m.group(1))))):
                yield f"{path}:{number}: includes {m.group(1)}, which is not public"


def fields_of(path, wanted=None):
    """(struct, field) of the structs at the outer level of a header, as layout_hash() wants them named."""
    for m in re.finditer(r"^struct (?:alignas\(\w+\) )?(\w+) \{\n(.*?)^\}", text(path), re.S | re.M):
        name, body = m.group(1), re.sub(r"//[^\n]*", "", m.group(2))
        if wanted and name not in wanted:
            continue
        inner = re.search(r"struct (\w+) \{(.*?)\} (\w+)\[", body, re.S)
        parts = [(name, body)]
        if inner:
            parts = [(f"{name}::{inner.group(1)}", inner.group(2)), (name, body.replace(inner.group(0), f"x {inner.group(3)}["))]
        for struct, declarations in parts:
            for declaration in re.sub(r"alignas\([^)]*\)|<[^;]*>|\[[^\]]*\]", "", declarations).split(";"):
                names = declaration.split(",")
                if names[0].split():
                    yield from ((struct, n.split()[-1]) for n in names)


def check_layout():
    hashed = text("src/mem/shared_layout.hpp")
    leaf = [(f"detail::{s}", f) for s, f in fields_of("include/mpnet/detail/lease.hpp", ("ring_claim", "pool_claim", "lease"))]
    for struct, field in [*fields_of("src/mem/control.hpp"), *leaf]:
        if not re.search(rf"MPNET_FIELD\({struct}, {field}\)", hashed):
            yield f"src/mem/shared_layout.hpp: {struct}::{field} is shared and not in the hash"


def check_names():
    for path in files("tests"):
        if path.endswith(".cpp"):
            for name in re.findall(r'TEST_CASE\(\s*"([^"]*)"', text(path)):
                if name.startswith("-") or re.search(r"[;\[\]]", name):
                    yield f"{path}: '{name}': ctest cannot hand over a name with ; [ ] or a dash in front"


def check_links():
    for path in files(""):
        if not path.endswith(".md"):
            continue
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text(path), flags=re.S)  # code has brackets of its own
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
            if "://" not in target and not os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
                yield f"{path}: links to {target}, which does not exist"


if __name__ == "__main__":
    if len(sys.argv) != 3 or f"check_{sys.argv[1]}" not in globals():
        sys.exit(__doc__)
    ROOT = os.path.abspath(sys.argv[2])
    problems = list(globals()[f"check_{sys.argv[1]}"]())
    print("\n".join(problems) or f"{sys.argv[1]}: nothing to say")
    sys.exit(1 if problems else 0)
