#!/usr/bin/env python3
"""Puts the APK together, and checks one.

usage: package.py BASE_APK CLASSES_DEX LIBRARY_DIR OUT_APK ABI…
       package.py --check APK ABI…        last line: JSON

Libraries are deflated, and Android unpacks them when it installs the app (`extractNativeLibs`): less to
fetch, more on the phone's disk. What is mapped is then the file itself, so its segments, not its place in
the APK, have to suit pages of 16 KB. What is stored is padded by the extra field 0xd935 whose first two
bytes are the alignment, as zipalign writes it.
"""
import json
import os
import struct
import subprocess
import sys
import zipfile

import manifest

PAGE = 16384
WORD = 4
LOAD = 1
EPOCH = (2026, 1, 1, 0, 0, 0)
HEADER = 30


def add(out, name, data, stored):
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    if stored:
        start = out.fp.tell() + HEADER + len(name.encode()) + 6
        padding = -start % WORD
        info.extra = struct.pack("<HHH", 0xD935, 2 + padding, WORD) + bytes(padding)
    out.writestr(info, data, compresslevel=9)


def build(base, dex, libraries, target, abis):
    with zipfile.ZipFile(base) as source, zipfile.ZipFile(target, "w") as out:
        for entry in source.infolist():
            stored = entry.filename == "resources.arsc"
            add(out, entry.filename, source.read(entry), stored)
        with open(dex, "rb") as file:
            add(out, "classes.dex", file.read(), False)
        for abi in abis:
            with open(f"{libraries}/{abi}/libmingjing_agent.so", "rb") as file:
                add(out, f"lib/{abi}/libmingjing_agent.so", file.read(), False)


def segments(library):
    """Place in the file, address and alignment of every segment a 64-bit ELF file has loaded."""
    start, = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for at in range(start, start + size * count, size):
        kind, _, offset, address, _, _, _, alignment = struct.unpack_from("<IIQQQQQQ", library, at)
        if kind == LOAD:
            yield offset, address, alignment


def check(apk, abis):
    sizes = {}
    with zipfile.ZipFile(apk) as archive:
        for abi in abis:
            entry = archive.getinfo(f"lib/{abi}/libmingjing_agent.so")
            if entry.compress_type != zipfile.ZIP_DEFLATED:
                sys.exit(f"{apk}: {entry.filename} is not deflated")
            found = list(segments(archive.read(entry)))
            if not found or any(it[2] % PAGE or (it[0] - it[1]) % PAGE for it in found):
                sys.exit(f"{apk}: a segment of {entry.filename} does not suit pages of 16 KB")
            sizes[abi] = entry.file_size
    badging = subprocess.run(
        ["aapt2", "dump", "badging", apk], check=True, capture_output=True, text=True
    ).stdout
    value = {}
    for line in badging.splitlines():
        key, _, rest = line.partition(":")
        if key in ("minSdkVersion", "sdkVersion", "targetSdkVersion"):
            value[key] = int(rest.strip("'"))
    broken = list(manifest.problems(apk))
    if broken:
        sys.exit("\n".join(f"{apk}: {it}" for it in broken))
    print(json.dumps({
        "apk": os.path.relpath(apk, ".."),
        "apk_bytes": os.path.getsize(apk),
        "so_bytes": sizes,
        "min_sdk": value.get("minSdkVersion", value.get("sdkVersion")),
        "target_sdk": value["targetSdkVersion"],
    }))


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(sys.argv[2], sys.argv[3:])
    else:
        build(*sys.argv[1:5], sys.argv[5:])
