"""Who imports whom: the graph of imports among the modules of the library."""

import argparse
import json
from collections import Counter


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    with open(options.library, encoding="utf-8") as file:
        library = json.load(file)
    names = {module["name"] for module in library}
    edges = [(module["name"], target) for module in library for target in module["imports"] if target in names]
    pairs = set(edges)
    graph = {
        "edges": edges,
        "most_imported": Counter(target for _, target in edges).most_common(10),
        "most_importing": Counter(source for source, _ in edges).most_common(5),
        "mutual": sorted([a, b] for a, b in pairs if a < b and (b, a) in pairs),
    }
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(graph, file)
    first, count = graph["most_imported"][0]
    print(f"{len(edges):,} imports; {first} is imported most, by {count} modules")


main()
