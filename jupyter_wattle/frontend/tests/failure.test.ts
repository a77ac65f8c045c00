import assert from "node:assert/strict";
import { test } from "node:test";
import { lastWords } from "../src/model/failure";

test("of a traceback the line of the person's own code and the error are shown", () => {
  const log = `starting
Traceback (most recent call last):
  File "/state/logs/etl/1/clean/1/script.sh", line 3, in <module>
    table = pd.read_csv(raw)[cols]
  File "/usr/lib/python3/dist-packages/pandas/core.py", line 99, in f
    raise KeyError(key)
KeyError: "['pricee'] not in index"
`;
  assert.deepEqual(lastWords(log, "clean"), [
    "clean, line 3:  table = pd.read_csv(raw)[cols]",
    `KeyError: "['pricee'] not in index"`,
  ]);
});

test("without a traceback the last lines are shown, without their colours", () => {
  assert.deepEqual(lastWords("a\n\n\x1b[31mb\x1b[0m\n", "x"), ["a", "b"]);
  assert.equal(lastWords("1\n2\n3\n4\n5\n6\n7\n8", "x").length, 6);
  assert.deepEqual(lastWords("", "x"), []);
});
