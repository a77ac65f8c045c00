"""Write what was found as Markdown."""

import argparse
import json
import os
import platform


def rows(heads, lines):
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for line in lines:
        yield "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else f"`{cell}`" for cell in line) + " |"


def main():
    parser = argparse.ArgumentParser()
    for name in ("--library", "--imports", "--chart", "--out"):
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    with open(options.library, encoding="utf-8") as file:
        library = json.load(file)
    with open(options.imports, encoding="utf-8") as file:
        imports = json.load(file)
    total = {name: sum(module[name] for module in library) for name in ("lines", "functions", "classes")}
    longest = sorted(library, key=lambda module: -module["lines"])[:10]
    chart = os.path.relpath(os.path.realpath(options.chart), os.path.dirname(os.path.realpath(options.out)))
    text = [
        f"# The standard library of Python {platform.python_version()}",
        "",
        f"{len(library):,} modules with {total['lines']:,} lines, {total['functions']:,} functions and",
        f"{total['classes']:,} classes; they import one another {len(imports['edges']):,} times.",
        "",
        f"![Lines of source in the largest packages]({chart})",
        "",
        "## Imported most",
        "",
        *rows(["module", "imported by"], imports["most_imported"]),
        "",
        "## Longest modules",
        "",
        *rows(["module", "lines", "functions", "classes"],
              [[m["name"], m["lines"], m["functions"], m["classes"]] for m in longest]),
        "",
        f"{len(imports['mutual'])} pairs of modules import each other.",
        "",
    ]
    with open(options.out, "w", encoding="utf-8") as file:
        file.write("\n".join(text))
    print(f"{len(library):,} modules, {total['lines']:,} lines, {total['functions']:,} functions")


main()
