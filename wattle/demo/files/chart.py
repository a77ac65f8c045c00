"""Draw the largest packages as bars, in SVG written by hand: no library needed."""

import argparse
import json
from collections import Counter
from html import escape

WIDTH, ROW, LABEL, FIGURE = 720, 24, 140, 70


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    with open(options.library, encoding="utf-8") as file:
        library = json.load(file)
    lines = Counter()
    for module in library:
        lines[module["name"].partition(".")[0]] += module["lines"]
    largest = lines.most_common(15)
    most = largest[0][1]
    height = ROW * len(largest) + 50
    picture = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="13">',
        "<style>text { font-family: sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="12" y="24" font-size="16" fill="#1f2937">Lines of source in the largest packages</text>',
    ]
    for place, (name, count) in enumerate(largest):
        y = 44 + ROW * place
        length = (WIDTH - LABEL - FIGURE) * count / most
        picture += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end" fill="#374151">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{ROW - 6}" rx="3" fill="#0f766e"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{y + 14}" fill="#6b7280">{count:,}</text>',
        ]
    with open(options.out, "w", encoding="utf-8") as file:
        file.write("\n".join([*picture, "</svg>", ""]))
    print(f"{len(largest)} bars; the longest is {largest[0][0]} with {most:,} lines")


main()
