"""How the reference looks: its style sheet, light and dark."""

from __future__ import annotations

BADGE = {"get": "GET", "post": "POST", "put": "PUT", "delete": "DEL"}

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5f6973; --line: #dfe3e8; --paper: #fff; --panel: #f6f8fa;
  --link: #1463c4; --get: #1463c4; --post: #1a7f47; --put: #8a6100; --delete: #c62b32; --code: #1b1f24;
  --shell: #16202c; --said: #e6edf3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --dim: #98a1ab; --line: #2b3138; --paper: #14171b;
  --panel: #1b1f24; --link: #62a8ff; --get: #62a8ff; --post: #4cc38a; --put: #d9a441; --delete: #ff7b72;
  --code: #e6e9ec; --shell: #0d1116; --said: #d7dee6; } }
* { box-sizing: border-box }
html { scroll-padding-top: 1.25rem }
body { margin: 0; display: grid; grid-template-columns: 17rem minmax(0, 1fr); background: var(--paper);
  color: var(--ink); font: 15px/1.55 system-ui, sans-serif }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere }
p, ul, dl { margin: .35rem 0 } ul { padding-left: 1.1rem } small, em { color: var(--dim); font-style: normal }

nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.5rem 1rem 2rem 1.25rem;
  background: var(--panel); border-right: 1px solid var(--line); font-size: .86rem }
nav h1 { font-size: 1.15rem; margin: 0 } nav h1 small { font-weight: 400; font-size: .85rem }
nav p a { margin-right: .9rem } nav ul { list-style: none; margin: 0; padding: 0 }
nav h2 { font-size: .74rem; letter-spacing: .06em; text-transform: uppercase; margin: 1.25rem 0 .3rem }
nav h2 a { color: var(--dim) }
nav li a { display: flex; align-items: center; gap: .5rem; padding: .13rem .35rem; margin: 0 -.35rem; color: var(--ink);
  border-radius: .3rem } nav li a:hover { background: var(--line); text-decoration: none }
nav li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }

.verb { flex: none; min-width: 3.1rem; text-align: center; font: 700 .68rem/1.5 ui-monospace, monospace;
  letter-spacing: .03em; border: 1px solid currentColor; border-radius: .25rem; padding: .05rem .3rem }
nav .verb { min-width: 2.5rem; font-size: .6rem; border: 0; padding: 0; text-align: left }
.get { color: var(--get) } .post { color: var(--post) } .put { color: var(--put) } .delete { color: var(--delete) }
.ok { color: var(--post) } .no { color: var(--delete) }

main { padding: 1.5rem 2.5rem 5rem; max-width: 82rem }
main > header { max-width: 52rem; margin-bottom: 2.5rem } main > header > p:first-child { font-size: 1.25rem }
.box { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1.25rem;
  margin-top: 1.25rem } .box h2 { font-size: 1rem; margin: 0 0 .25rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem } dt { font-weight: 600 } dd { margin: 0 }
dd p { margin: 0 }
.tag { font-size: 1.5rem; margin: 3rem 0 0; text-transform: capitalize } .lead { color: var(--dim) }
article { border-top: 1px solid var(--line); padding: 1.25rem 0 1.5rem; margin-top: 1.25rem }
article:target h3 a { box-shadow: inset 0 -.45em color-mix(in srgb, var(--link) 25%, transparent) }
h3 { margin: 0 0 .35rem; font-size: 1.08rem } h3 a { color: var(--ink) }
h4 { margin: 1.1rem 0 .2rem; font-size: .78rem; letter-spacing: .03em; color: var(--dim); font-weight: 600 }
.path { display: flex; align-items: center; gap: .7rem; margin: 0 0 .6rem } .path code { font-size: 1rem }
.path i { color: var(--put); font-style: normal } .access { color: var(--dim); font-size: .86rem; margin-top: .9rem }
.two { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 2rem; align-items: start }
table { width: 100%; border-collapse: collapse; font-size: .92rem } tr { border-top: 1px solid var(--line) }
tr:first-child { border-top: 0 } tr:target { background: var(--panel) }
th { width: 9.5rem; text-align: left; font-weight: 500; vertical-align: top; padding: .35rem .75rem .35rem 0 }
th em { display: block; font-size: .78rem } td { padding: .35rem 0; vertical-align: top } td p { margin: 0 }
td div { color: var(--dim); font-size: .9rem } .bad a { margin-right: .35rem; color: var(--dim) }
.type { font-weight: 500; white-space: nowrap }
pre { margin: 0; padding: .8rem 1rem; overflow: auto; border-radius: .5rem; background: var(--panel);
  font-size: .88rem } pre code { overflow-wrap: normal }
.side > pre, .box pre { background: var(--shell); color: var(--said) }
.box pre { margin-top: .75rem }
.shape { margin-top: .75rem; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden }
.shape summary { padding: .4rem 1rem; cursor: pointer; font-size: .86rem } .shape pre { border-radius: 0 }
.types article { max-width: 52rem }
@media (max-width: 70rem) { .two { grid-template-columns: minmax(0, 1fr); gap: 1rem } }
@media (max-width: 48rem) { body { display: block } nav { position: static; height: auto; border-right: 0;
  border-bottom: 1px solid var(--line) } nav ul { columns: 2 } main { padding: 1.25rem } th { width: 7.5rem } }
@media print { nav { display: none } body { display: block } article { break-inside: avoid } }
"""
