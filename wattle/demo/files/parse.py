"""Parse the modules of one shard: lines, functions, classes, imports."""

import argparse
import ast
import json


def facts(module):
    with open(module["path"], "rb") as file:
        source = file.read()
    found = {"name": module["name"], "lines": source.count(b"\n"), "functions": 0, "classes": 0, "imports": []}
    imports = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found["functions"] += 1
        elif isinstance(node, ast.ClassDef):
            found["classes"] += 1
        elif isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports.add(node.module)
    found["imports"] = sorted(imports)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--modules", required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    with open(options.modules, encoding="utf-8") as file:
        modules = json.load(file)[options.shard - 1]
    found = []
    for number, module in enumerate(modules, 1):
        try:
            found.append(facts(module))
        except (SyntaxError, ValueError) as error:
            print(f"left out {module['name']}: {error}", flush=True)
        if number % 20 == 0 or number == len(modules):
            print(f"{number} of {len(modules)} modules, last {module['name']}", flush=True)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(found, file)


main()
