"""Find the modules of this Python's standard library and deal them into shards of about equal size."""

import argparse
import json
import os
import sys
import sysconfig

SKIPPED = {"__pycache__", "dist-packages", "idle_test", "lib2to3", "site-packages", "test", "tests"}


def modules(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for file in sorted(files):
            if file.endswith(".py"):
                path = os.path.join(folder, file)
                name = os.path.relpath(path, root)[: -len(".py")].replace(os.sep, ".")
                yield {"name": name.removesuffix(".__init__"), "path": path, "size": os.path.getsize(path)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    root = sysconfig.get_path("stdlib")
    shards = [[] for _ in range(options.shards)]
    filled = [0] * options.shards
    for module in sorted(modules(root), key=lambda module: -module["size"]):
        lightest = filled.index(min(filled))
        shards[lightest].append(module)
        filled[lightest] += module["size"]
    count = sum(map(len, shards))
    if not count:
        sys.exit(f"There is no source file in {root}: this Python came without its library's sources.")
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(shards, file)
    print(f"{count:,} modules in {len(shards)} shards")


main()
