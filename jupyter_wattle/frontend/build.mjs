/* Builds what the hosts load, or the unit tests:  node build.mjs [--tests | --watch] */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  legalComments: "none",
  loader: { ".css": "text" },
  logLevel: "warning",
};

/** Style sheets travel inside the module, with their white space taken out. */
const styles = {
  name: "styles",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const made = await esbuild.build({
        entryPoints: [path],
        minify: true,
        write: false,
        charset: "utf8",
        target: "es2022",
      });
      return { contents: made.outputFiles[0].text.trimEnd(), loader: "text" };
    });
  },
};

const product = {
  ...shared,
  plugins: [styles],
  minify: true,
  entryPoints: { wattle: "src/mount.tsx", page: "src/host/page.ts", widget: "src/host/widget.tsx" },
  external: ["./wattle.js"],
  outdir: "../static",
};

if (process.argv.includes("--tests")) await test();
else if (process.argv.includes("--watch")) await (await esbuild.context({ ...product, logLevel: "info" })).watch();
else {
  await esbuild.build(product);
  for (const name of ["page.css", "wattle.svg"])
    copyFileSync(join(here, "src/host", name), join(here, "../static", name));
  await buildLab(join(here, "../labextension"));
}

/** The prebuilt extension: a small script with a hash in its name, which fetches `wattle.js` beside it; that one is put
    there when the package is installed (`pyproject.toml`). */
async function buildLab(place) {
  const digest = (data) => createHash("sha256").update(data).digest("hex").slice(0, 16);
  const module = `wattle.js?v=${digest(readFileSync(join(here, "../static/wattle.js")))}`;
  const made = await esbuild.build({
    ...shared,
    minify: true,
    format: "iife",
    write: false,
    entryPoints: ["src/host/lab.ts"],
    define: { WATTLE_MODULE: JSON.stringify(module) },
  });
  const script = made.outputFiles[0].contents;
  const load = `static/remoteEntry.${digest(script)}.js`;
  rmSync(place, { recursive: true, force: true });
  mkdirSync(join(place, "static"), { recursive: true });
  writeFileSync(join(place, load), script);
  const { name, version, description, license } = JSON.parse(readFileSync(join(here, "package.json")));
  const build = { load, extension: "./panel", mimeExtension: "./mime" };
  const jupyterlab = { extension: true, mimeExtension: true, _build: build };
  const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
  writeFileSync(join(place, "package.json"), json({ name, version, description, license, jupyterlab }));
  const uninstallInstructions =
    "Use your Python package manager (pip, conda, …) to uninstall the package jupyter-wattle";
  writeFileSync(
    join(place, "install.json"),
    json({ packageManager: "python", packageName: "jupyter-wattle", uninstallInstructions }),
  );
}

/** Bundle each test for Node and run them all. */
async function test() {
  const place = mkdtempSync(join(tmpdir(), "wattle-tests-"));
  const names = readdirSync(join(here, "tests")).filter((name) => name.includes(".test."));
  await esbuild.build({
    ...shared,
    plugins: [styles],
    platform: "node",
    entryPoints: names.map((name) => join("tests", name)),
    outdir: place,
    outExtension: { ".js": ".mjs" },
    sourcemap: "inline",
  });
  const built = readdirSync(place).filter((name) => name.endsWith(".mjs"));
  const ended = spawnSync(
    process.execPath,
    ["--enable-source-maps", "--test", ...built.map((name) => join(place, name))],
    { stdio: "inherit" },
  );
  rmSync(place, { recursive: true });
  process.exitCode = ended.status ?? 1;
}
