import assert from "node:assert/strict";
import { test } from "node:test";
import { isPlain, overwritten, spans, stripped } from "../src/ansi";

test("colours become classes, and what drives a terminal is dropped", () => {
  assert.deepEqual(spans("a\x1b[1;31mred\x1b[0m b"), [
    { text: "a", classes: "" },
    { text: "red", classes: "b f1" },
    { text: " b", classes: "" },
  ]);
  assert.deepEqual(spans("\x1b]0;title\x07x\x1b[2Ky\x1b[10;10Hz"), [
    { text: "x", classes: "" },
    { text: "y", classes: "" },
    { text: "z", classes: "" },
  ]);
});

test("256 and true colours are colours, and inverse turns them around", () => {
  assert.equal(spans("\x1b[38;5;196mx")[0]?.color, "rgb(255, 0, 0)");
  assert.equal(spans("\x1b[48;2;1;2;300mx")[0]?.background, "rgb(1, 2, 255)");
  assert.equal(spans("\x1b[38;5;9mx")[0]?.classes, "f9");
  assert.equal(spans("\x1b[32;7mx")[0]?.classes, "finv g2");
});

test("a colour cannot be anything but a colour", () => {
  for (const evil of ["\x1b[38;2;url(x);0;0mx", "\x1b[38;5mx", "\x1b[999;-1mx", "\x1b[38mx"])
    for (const span of spans(evil))
      assert.match(`${span.color ?? ""}${span.background ?? ""}`, /^(rgb\(\d+, \d+, \d+\))?$/);
});

test("markup stays text", () => {
  assert.deepEqual(spans("<img src=x onerror=alert(1)>"), [{ text: "<img src=x onerror=alert(1)>", classes: "" }]);
});

test("a line that was overwritten is what stood last, also with the line end of Windows", () => {
  assert.equal(overwritten("10 %\r50 %\r100 %"), "100 %");
  assert.equal(overwritten("done\r"), "done");
  assert.equal(stripped("\x1b[32m10\r20\x1b[0m"), "20");
  assert.equal(isPlain("no colours"), true);
  assert.equal(isPlain("tab\tis plain"), true);
});

test("text that turns around the reading direction is cleaned", () => {
  assert.equal(stripped("a\u202eb"), "ab");
});
