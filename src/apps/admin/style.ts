/**
 * The style of every page. Text has a contrast of 4.5:1 at least, lines and borders that mean something 3:1, in both themes (a test
 * computes it); the four line colours can be told apart by the colour-blind, and never stand alone.
 */
export const THEMES = {
  light: {
    ink: '#17202b',
    quiet: '#55606e',
    paper: '#f6f7f9',
    card: '#ffffff',
    line: '#d8dde4',
    control: '#6b7684',
    ok: '#12663a',
    'ok-soft': '#e3f3e9',
    warn: '#7a4b00',
    'warn-soft': '#fdf0d5',
    bad: '#a11616',
    'bad-soft': '#fde6e4',
    link: '#0b5394',
    s0: '#0a63a8',
    s1: '#a84300',
    s2: '#0b7355',
    s3: '#8a3f86',
  },
  dark: {
    ink: '#e7ebf0',
    quiet: '#a3aebb',
    paper: '#10141a',
    card: '#181e26',
    line: '#2e3743',
    control: '#7d8a99',
    ok: '#6fd09a',
    'ok-soft': '#142c20',
    warn: '#f0bd5a',
    'warn-soft': '#33270f',
    bad: '#ff9a91',
    'bad-soft': '#3a1a1a',
    link: '#8cc4ff',
    s0: '#6bb5f2',
    s1: '#f2a365',
    s2: '#5bd1ac',
    s3: '#dc9fd8',
  },
} as const;

function variables(theme: keyof typeof THEMES): string {
  return Object.entries(THEMES[theme])
    .map(([name, value]) => `--${name}:${value};`)
    .join('');
}

export const STYLE = `
:root { color-scheme: light dark; ${variables('light')} }
@media (prefers-color-scheme: dark) { :root { ${variables('dark')} } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper); max-width: 76rem; margin: 0 auto; padding: 0 1rem 3rem; overflow-wrap: anywhere; }
a { color: var(--link); }
a, summary, button, input, textarea, select { border-radius: 3px; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
main:focus { outline: none; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; top: .4rem; background: var(--card); padding: .3rem .6rem; z-index: 1; }
nav { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.4rem; padding: .8rem 0; }
nav .brand { font-weight: 700; letter-spacing: .01em; } nav .viewer { margin-left: auto; color: var(--quiet); }
nav a { text-decoration: none; padding: .2rem 0; } nav [aria-current] { font-weight: 600; color: inherit; border-bottom: 2px solid currentColor; border-radius: 0; }
#old { position: sticky; top: 0; z-index: 1; margin: 0 0 .8rem; padding: .6rem .9rem; background: var(--bad); color: var(--card); font-weight: 600; border-radius: 6px; }
h1, h2, h3, h4 { line-height: 1.25; margin: 0; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; } h3 { font-size: 1rem; } h4 { font-size: .9rem; color: var(--quiet); font-weight: 600; margin: 1.2rem 0 .3rem; }
p { margin: .3rem 0; } small, .quiet { color: var(--quiet); font-size: .87rem; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", monospace; }
ul, dl, dd { margin: 0; padding: 0; } li { list-style: none; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1.1rem; }
.verdict { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; align-items: center; padding: 1.1rem; border-radius: 10px; border: 1px solid currentColor; }
.verdict .sign { width: 2.6rem; height: 2.6rem; } .verdict p { margin: 0; } .verdict .said { color: var(--ink); font-size: 1.02rem; }
.verdict .at { grid-column: 1 / -1; color: var(--quiet); font-size: .87rem; margin-top: .4rem; display: flex; flex-wrap: wrap; gap: 0 1.2rem; }
.ok { color: var(--ok); } .warning { color: var(--warn); } .failing { color: var(--bad); }
.verdict.ok { background: var(--ok-soft); } .verdict.warning { background: var(--warn-soft); } .verdict.failing { background: var(--bad-soft); }
.sign { width: 1.15em; height: 1.15em; vertical-align: -.2em; flex: none; }
.problems { display: grid; gap: .7rem; }
.problems > li { border-left: 5px solid currentColor; } .problems > li > :not(h3) { color: var(--ink); }
.problems dl { display: flex; flex-wrap: wrap; gap: .1rem 1.6rem; margin: .5rem 0 0; font-size: .9rem; } .problems dt, .facts dt { color: var(--quiet); font-size: .82rem; }
.problems dd { font-variant-numeric: tabular-nums; } .problems .todo { margin-top: .5rem; font-weight: 600; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 0 1.4rem; align-items: start; }
.columns > section > h2 { margin-top: 1.6rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .7rem; }
.tiles > * { min-width: 0; } .tiles .state { font-size: .87rem; font-weight: 600; } .tiles p { font-size: .87rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .7rem; }
.chart { margin: 0; min-width: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.chart svg { display: block; width: 100%; height: auto; max-width: 34rem; } figcaption .name { font-weight: 600; } figcaption .unit { color: var(--quiet); font-size: .85rem; }
svg text { font-size: 12px; fill: var(--quiet); font-variant-numeric: tabular-nums; } svg .label { font-weight: 600; }
svg .grid { stroke: var(--line); } svg .limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 6 3; } svg text.limit { stroke: none; fill: var(--bad); font-weight: 600; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line.s0, .dot.s0 { stroke: var(--s0); } .line.s1, .dot.s1 { stroke: var(--s1); } .line.s2, .dot.s2 { stroke: var(--s2); } .line.s3, .dot.s3 { stroke: var(--s3); }
.dot { stroke-width: 1; } .dot.s0, .label.s0 { fill: var(--s0); } .dot.s1, .label.s1 { fill: var(--s1); } .dot.s2, .label.s2 { fill: var(--s2); } .dot.s3, .label.s3 { fill: var(--s3); }
.line.s1 { stroke-dasharray: 7 3; } .line.s2 { stroke-dasharray: 2 3; } .line.s3 { stroke-dasharray: 9 3 2 3; }
.chart .none { color: var(--quiet); min-height: 4rem; }
summary { cursor: pointer; } .chart summary { color: var(--quiet); font-size: .85rem; padding: .2rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } caption { text-align: left; font-weight: 600; font-size: .9rem; color: var(--quiet); padding: 0 0 .2rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; vertical-align: baseline; font-weight: 400; }
tr > :last-child { padding-right: 0; } tbody tr:last-child > * { border-bottom: 0; } thead th { color: var(--quiet); font-size: .82rem; border-bottom-color: var(--control); }
td small, th small { display: block; } .number { text-align: right; } .fixed { white-space: nowrap; width: 1%; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(9rem, 23%), 1fr)); gap: .8rem 1rem; } .facts dd { font-variant-numeric: tabular-nums; font-size: 1.05rem; } .facts dd small { display: block; }
.list { display: grid; grid-template-columns: fit-content(50%) 1fr; gap: .25rem 1.2rem; font-size: .92rem; } .list dt { color: var(--quiet); overflow-wrap: anywhere; } .list dd { font-variant-numeric: tabular-nums; min-width: 0; }
details.issuer > summary { padding: .2rem 0; } details.issuer > summary h3 { display: inline; } details.issuer { margin-bottom: .7rem; }
details.issuer[open] > summary { border-bottom: 1px solid var(--line); padding-bottom: .6rem; margin-bottom: .9rem; }
.split { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 2.4rem; margin-top: 1.3rem; } .split > * { min-width: 0; } .split h4 { margin-top: 0; } .split .chart { border: 0; padding: 0; background: none; max-width: 26rem; }
.span { display: block; width: 100%; height: 26px; overflow: visible; } .span rect.all { fill: var(--line); } .span rect.left { fill: var(--s0); } .span rect.old { fill: var(--control); } .span line { stroke: var(--ink); stroke-width: 2; }
progress { width: 100%; height: 1rem; accent-color: var(--s0); }
.tokens > li + li { margin-top: .9rem; padding-top: .9rem; border-top: 1px solid var(--line); } .tokens small { display: block; }
form { display: inline-flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .5rem .8rem 0 0; }
button { font: inherit; font-size: .9rem; color: var(--ink); background: var(--card); border: 1px solid var(--control); padding: .3rem .8rem; border-radius: 6px; cursor: pointer; } button:hover { background: var(--paper); }
label { color: var(--quiet); font-size: .9rem; } form.tall { display: block; } form.tall p { margin: .6rem 0; } textarea { width: 100%; font: .87rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; } pre { white-space: pre-wrap; font-size: .82rem; margin: .3rem 0; }
nav form { margin: 0; } details summary { padding: .3rem 0; } details ol, details ul { padding-left: 1.2rem; } details ol li { list-style: decimal; } details ul li { list-style: disc; } article.card { margin-bottom: .7rem; } select { max-width: 100%; } main > header { margin: .7rem 0; } .pairs tbody th { width: 13rem; } .bullets li { list-style: disc; margin-left: 1.2rem; }
input, select, textarea { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--control); padding: .3rem .5rem; border-radius: 6px; }
.events time { color: var(--quiet); white-space: nowrap; } .ranges { display: inline-flex; gap: .9rem; font-size: .9rem; font-weight: 400; margin-left: .8rem; } .ranges [aria-current] { color: inherit; font-weight: 600; text-decoration: none; }
footer { margin-top: 2.4rem; color: var(--quiet); font-size: .9rem; display: flex; flex-wrap: wrap; gap: 0 1.4rem; }
@media (max-width: 34rem) {
  body { padding: 0 .7rem 2rem; } .card { padding: .8rem; } nav .viewer { margin-left: 0; } .verdict { padding: .9rem; } h2 { margin-top: 1.8rem; }
  .list { grid-template-columns: 1fr; } .list dd { margin-bottom: .5rem; } .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  table.stack thead { position: absolute; clip-path: inset(50%); } table.stack tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); } table.stack tbody tr:last-child { border: 0; }
  table.stack th { display: block; padding: 0; border: 0; font-weight: 600; text-align: left; } table.stack td { display: flex; justify-content: space-between; gap: 1rem; padding: 0; border: 0; text-align: right; } table.stack td[data-is]::before { content: attr(data-is); color: var(--quiet); font-size: .85rem; }
}
@media (prefers-reduced-motion: no-preference) { summary, button, a { transition: background-color .12s; } }
@media print { body { max-width: none; background: none; font-size: 11px; } nav, form, .skip, .ranges, footer, .chart details { display: none; } .card, .chart, .problems > li { break-inside: avoid; } details.issuer::details-content { content-visibility: visible; } }
`;
