import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, count, duration, encode, plural, shorten, width } from "../src/text";

test("durations are short and never mix up their units", () => {
  const told = [0, 0.04, 9.94, 9.96, 59.4, 59.6, 61, 3599, 3600, 3725, 200000].map(duration);
  assert.deepEqual(told, [
    "0.0 s",
    "0.0 s",
    "9.9 s",
    "10 s",
    "59 s",
    "1 min 00 s",
    "1 min 01 s",
    "59 min 59 s",
    "1 h 00 min",
    "1 h 02 min",
    "2 d 7 h",
  ]);
});

test("sizes and counts are for people", () => {
  assert.deepEqual([0, 999, 1000, 1440, 9960, 999400, 999600, 41e6, 5e12].map(bytes), [
    "0 B",
    "999 B",
    "1.0 kB",
    "1.4 kB",
    "10 kB",
    "999 kB",
    "1.0 MB",
    "41 MB",
    "5.0 TB",
  ]);
  assert.equal(count(1234567), "1,234,567");
  assert.equal(plural(1, "worker"), "1 worker");
  assert.equal(ago(59), "59 s ago");
});

test("a long name keeps both ends, and wide characters count two", () => {
  assert.equal(shorten("prepare_the_training_data.12", 16), "prepare_t…ata.12");
  assert.equal(width("データ"), 6);
  assert.ok(width(shorten("データベースの準備と確認", 12)) <= 12);
  assert.equal(shorten("short", 16), "short");
});

test("an address survives a hash", () => {
  assert.equal(encode("etl@12/train.4"), "etl@12/train.4");
  assert.equal(decodeURIComponent(encode("früh@1/größe")), "früh@1/größe");
});
