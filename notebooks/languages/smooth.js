// A moving mean of what the shell script measures; it answers what it has seen so far.
"use strict";
const wattle = require("./wattle.js");

const last = [];
let count = 0, highest = -Infinity;

async function main() {
  const listening = wattle.listen(wattle.input("raw"), async ({ t, level }) => {
    count += 1;
    highest = Math.max(highest, level);
    last.push(level);
    if (last.length > 8) last.shift();
    await wattle.publish("level", { t, mean: last.reduce((sum, one) => sum + one) / last.length });
    if (count % 50 === 0) await wattle.progress(null, `${count} readings`);
  });
  wattle.serve("stats", () => ({ count, highest: count ? highest : null })).catch(fail);
  await listening;
  const seen = await wattle.ask("watch/seen", null, 10);
  console.log(`${count} readings, the highest ${highest.toFixed(2)}; Python has seen ${seen.means} means`);
  await wattle.put("count", count);
  await wattle.end("level");
}

function fail(error) { console.error(error); process.exit(1); }
main().then(() => process.exit(0), fail);
