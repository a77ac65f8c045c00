/* The script of the page `/wattle`: its policy allows files of the server only, no script in the page itself. */

import type * as Wattle from "../mount";

// @ts-expect-error  a file beside this one, which the build leaves alone
const { mountPage } = (await import("./wattle.js")) as typeof Wattle;
const place = document.getElementById("wattle");
if (place) mountPage(place);
