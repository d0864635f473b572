#!/usr/bin/env python3
"""Puts the APK together, and checks one.

usage: package.py BASE_APK CLASSES_DEX LIBRARY_DIR OUT_APK ABI…
       package.py --check APK ABI…        last line: JSON

Libraries are stored, not deflated, at multiples of 16 KB, so that Android maps them from the APK; the
padding is the extra field 0xd935 whose first two bytes are the alignment, as zipalign writes it.
"""
import json
import os
import struct
import subprocess
import sys
import zipfile

import manifest

PAGE = 16384
EPOCH = (2026, 1, 1, 0, 0, 0)
HEADER = 30


def add(out, name, data, stored):
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    if stored:
        alignment = PAGE if name.endswith(".so") else 4
        start = out.fp.tell() + HEADER + len(name.encode()) + 6
        padding = -start % alignment
        info.extra = struct.pack("<HHH", 0xD935, 2 + padding, alignment) + bytes(padding)
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
                add(out, f"lib/{abi}/libmingjing_agent.so", file.read(), True)


def check(apk, abis):
    sizes = {}
    with zipfile.ZipFile(apk) as archive, open(apk, "rb") as file:
        for abi in abis:
            entry = archive.getinfo(f"lib/{abi}/libmingjing_agent.so")
            file.seek(entry.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            start = entry.header_offset + HEADER + name + extra
            if entry.compress_type != zipfile.ZIP_STORED or start % PAGE:
                sys.exit(f"{apk}: {entry.filename} is not stored at a multiple of 16 KB")
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
