"""The stylesheet of the report: one measure of text, figures as wide as it, light and dark."""

STYLESHEET = """
:root {
  --paper: #fdfdfb; --ink: #1c1c1a; --soft: #63635e; --line: #dcdcd4; --field: #f3f3ee;
  --met: #00694f; --missed: #b3261e;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Palatino Linotype", Cambria, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161615; --ink: #e8e8e2; --soft: #a3a39b; --line: #3a3a37; --field: #222220;
    --met: #5cc9a7; --missed: #ff8a80;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.55 var(--serif); }
main { max-width: 60rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 2.5rem) 5rem; }
h1 { font-size: clamp(1.7rem, 4.5vw, 2.4rem); line-height: 1.15; font-weight: 600; letter-spacing: -0.01em; margin: 0;
  text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.25; font-weight: 600; margin: 3.2rem 0 0.9rem; }
p { max-width: 44rem; margin: 0 0 0.8rem; text-wrap: pretty; }
.subtitle { color: var(--soft); margin: 0.5rem 0 0; }
header + p { margin-top: 1.2rem; }
.verdict { font-size: 1.2rem; line-height: 1.45; margin: 1.8rem 0 0; padding-left: 1rem;
  border-left: 3px solid var(--soft); }
.verdict.met { border-color: var(--met); }
.verdict.missed { border-color: var(--missed); }
.wide { overflow-x: auto; }
.wide:has(> .plain) { width: max-content; min-width: 100%; max-width: calc(100vw - 2rem); position: relative; left: 50%;
  transform: translateX(-50%); }
table.plain { font-size: 0.84rem; }
table { border-collapse: collapse; width: 100%; font: 0.9rem/1.4 var(--sans);
  font-variant-numeric: tabular-nums lining-nums; }
th { font-weight: 400; text-align: left; }
th, td { padding: 0.45rem 1.2rem 0.45rem 0; vertical-align: baseline; border-bottom: 1px solid var(--line); }
table.plain th, table.plain td { padding-right: 0.9rem; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: 0.82rem; border-bottom: 1px solid var(--ink); white-space: nowrap; }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 1px solid var(--ink); }
table.key td { white-space: nowrap; }
table.plain thead th:first-letter { text-transform: uppercase; }
table.plain td, table.plain tbody th { white-space: nowrap; }
.about { margin: 1.2rem 0 0; }
.seeds { display: block; color: var(--soft); font-size: 0.8rem; font-weight: 400; }
td.mark { text-align: right; font-weight: 700; }
td.met { color: var(--met); }
td.missed { color: var(--missed); }
figure { margin: 0 0 2.6rem; }
.paper { background: #fff; border: 1px solid var(--line); border-radius: 4px; padding: clamp(0.3rem, 1.5vw, 0.9rem); }
figure img { display: block; width: 100%; height: auto; max-height: 46rem; object-fit: contain; }
.rollouts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem; }
.rollouts figure { margin: 0; }
.rollouts figcaption { font-size: 0.85rem; }
figcaption { max-width: 46rem; margin-top: 0.7rem; font-size: 0.95rem; line-height: 1.45; color: var(--soft); }
figcaption b { color: var(--ink); font-weight: 600; }
pre { margin: 0 0 1.2rem; padding: 0.8rem 1rem; background: var(--field); border-radius: 4px; overflow-x: auto; }
code, pre, table.details { font-family: var(--mono); font-size: 0.85rem; }
details { border-top: 1px solid var(--line); padding: 0.6rem 0; }
details:last-child { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; font-weight: 600; }
table.details { margin: 0.6rem 0; }
table.details th { color: var(--soft); width: 1%; white-space: nowrap; }
table.details td { overflow-wrap: anywhere; }
table.details th, table.details td, table.details tbody tr:last-child > * { padding-block: 0.2rem; border: 0; }
@media (max-width: 40rem) {
  table.key, table.key tbody, table.key tr { display: block; }
  table.key thead { display: none; }
  table.key tr { display: grid; grid-template-columns: 1fr auto; padding: 0.5rem 0;
    border-bottom: 1px solid var(--line); }
  table.key th, table.key td, table.key tbody tr:last-child > * { border: 0; padding: 0; white-space: normal; }
  table.key th { grid-area: 1 / 1; }
  table.key td:nth-child(2) { grid-area: 2 / 1; font-weight: 600; }
  table.key td:nth-child(3) { grid-area: 3 / 1; color: var(--soft); }
  table.key td:nth-child(3):not(:empty)::before { content: "target "; }
  table.key td.mark { grid-area: 1 / 2; padding-left: 1rem; }
}
@media print {
  body { background: #fff; color: #000; font-size: 10pt; }
  figure, tr { break-inside: avoid; }
}
"""
