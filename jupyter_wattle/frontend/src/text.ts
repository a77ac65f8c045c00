/* Numbers and times for people. */

/** `0.3 s`, `12 s`, `3 min 04 s`, `1 h 02 min`, `2 d 3 h`. */
export function duration(seconds: number): string {
  const value = Math.max(0, seconds);
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 59.5) return `${Math.round(value)} s`;
  const minutes = Math.floor(Math.round(value) / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(value) % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `1,642`. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `1 worker`, `1,000 workers`. */
export function plural(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? "" : "s"}`;
}

/** `512 B`, `1.4 kB`, `41 MB`. */
export function bytes(value: number): string {
  if (value < 1000) return `${Math.round(value)} B`;
  let rest = value;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    rest /= 1000;
    if (rest < 999.5 || unit === "TB") return `${rest < 9.95 ? rest.toFixed(1) : Math.round(rest)} ${unit}`;
  }
  return "";
}

/** How long ago, roughly. */
export function ago(seconds: number): string {
  if (seconds >= 86400 * 2) return `${Math.floor(seconds / 86400)} days ago`;
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} min ago`;
  return seconds >= 5 ? `${Math.floor(seconds)} s ago` : "just now";
}

/** The time of day; with the date when it is another day than `now`. */
export function clock(stamp: number, now: number): string {
  const then = new Date(stamp * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const time = `${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())}`;
  if (then.toDateString() === new Date(now * 1000).toDateString()) return time;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time.slice(0, 5)}`;
}

/** Columns that a text takes, roughly: wide characters of East Asian scripts take two. */
export function width(text: string): number {
  let columns = 0;
  for (const char of text)
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(char)
        ? 2
        : 1;
  return columns;
}

/** Keep both ends of a name: numbers stand at the end. */
export function shorten(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  const chars = [...text];
  const take = (from: string[], room: number): string[] => {
    const taken: string[] = [];
    let used = 0;
    for (const char of from) {
      used += width(char);
      if (used > room) break;
      taken.push(char);
    }
    return taken;
  };
  const room = columns - 1;
  const head = take(chars, Math.ceil(room * 0.6));
  const tail = take([...chars].reverse(), room - Math.ceil(room * 0.6)).reverse();
  return `${head.join("")}…${tail.join("")}`;
}

/** An address in a URL's path or hash. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(/%40/g, "@").replace(/%2F/gi, "/");
}

/** What every view removes from text of others: marks that turn the reading direction around. */
export function plain(text: string): string {
  return text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
}
