/** The status page: one HTML document without scripts or outside assets, which reloads itself. Every value is escaped. */
import type { IssuerStatus, ProcessStatus, Status, TokenStatus } from './status.ts';

export function statusPage(status: Status): string {
  const verdict = { ok: 'All promises kept', warning: 'Needs attention', failing: 'A promise is broken' }[
    status.verdict
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="10">
<title>${verdict} · certstatus</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>certstatus</h1>
<p class="verdict ${status.verdict}">${verdict}</p>
<p class="at">as of <time>${escape(status.at)}</time>, reloads every 10 s</p>
</header>
<main>
${problems(status)}
<section aria-labelledby="issuers"><h2 id="issuers">Issuers</h2>
${status.issuers.map((one) => issuer(one, Date.parse(status.at))).join('\n') || '<p>No issuer is configured. Add one with <code>certstatus issuer add</code>.</p>'}
</section>
${tokens(status.tokens)}
${processes(status.processes ?? [])}
<section aria-labelledby="signer"><h2 id="signer">Signer</h2>
<table><thead><tr><th scope="col">Lane</th><th scope="col" class="number">Certificates waiting</th></tr></thead><tbody>
${status.lanes.map(({ lane, waiting }) => `<tr><th scope="row">${escape(lane)}</th><td class="number">${waiting.toLocaleString('en')}</td></tr>`).join('\n')}
</tbody></table>
${status.mass === undefined ? '' : `<p>Mass revocation ${escape(status.mass)}.</p>`}
${status.audit === undefined ? '' : `<p>Audit log: record ${status.audit.seq.toLocaleString('en')}, ${status.audit.writable ? 'writable' : '<strong>cannot be written</strong>'}.</p>`}
</section>
</main>
<footer><a href="/metrics">metrics</a> · <a href="/status.json">status.json</a> · <a href="/readyz">readyz</a></footer>
</body>
</html>
`;
}

function problems(status: Status): string {
  if (status.problems.length === 0) return '';
  const items = status.problems.map(
    ({ severity, what, todo }) => `<li class="${severity}"><strong>${escape(what)}</strong> ${escape(todo)}</li>`,
  );
  return `<section aria-labelledby="problems"><h2 id="problems">What is wrong, and what to do</h2><ul class="problems">${items.join('\n')}</ul></section>`;
}

function tokens(list: readonly TokenStatus[]): string {
  if (list.length === 0) return '';
  const rows = list.map(({ name, describe, state, activatedAt, activatedBy, sharesOf }) => {
    const by = activatedAt === undefined ? '' : `, activated ${activatedAt} by ${activatedBy.join(', ')}`;
    const entered = sharesOf.length === 0 ? '' : `, shares entered by ${sharesOf.join(', ')}`;
    // What it is called and where it is comes second: at 3 a.m. the state is looked for.
    return `<tr><th scope="row">${escape(name)}</th><td><strong>${escape(state)}</strong>${escape(`${by}${entered}`)}<small>${escape(describe)}</small></td></tr>`;
  });
  return `<section aria-labelledby="tokens"><h2 id="tokens">Tokens</h2>
<table><tbody>
${rows.join('\n')}
</tbody></table></section>`;
}

function processes(list: readonly ProcessStatus[]): string {
  if (list.length === 0) return '';
  const rows = list.map(({ index, state, pid, restarts, residentBytes }) => {
    const size = residentBytes === undefined ? '' : `, ${Math.round(residentBytes / 1e6).toLocaleString('en')} MB`;
    const again = restarts === 0 ? '' : `, started again ${restarts === 1 ? 'once' : `${restarts} times`}`;
    const what = `${pid === undefined ? '' : `, process ${pid}`}${size}${again}`;
    return `<tr><th scope="row">${index}</th><td><strong>${escape(state)}</strong>${escape(what)}</td></tr>`;
  });
  return `<section aria-labelledby="processes"><h2 id="processes">Responder processes</h2>
<table><tbody>
${rows.join('\n')}
</tbody></table></section>`;
}

function issuer(status: IssuerStatus, now: number): string {
  const { crl } = status;
  const facts: [string, string][] = [
    ['Certificates with a published answer', status.certificates.toLocaleString('en')],
    ['Oldest answer', instant(status.oldestThisUpdate, now) ?? 'none yet'],
    ['First answer to run out', instant(status.leastNextUpdate, now) ?? 'none yet'],
    [
      'CRL',
      crl === undefined
        ? 'none'
        : `number ${crl.number}, ${crl.entries.toLocaleString('en')} ${crl.entries === 1 ? 'entry' : 'entries'}, ${crl.bytes.toLocaleString('en')} bytes`,
    ],
    ['CRL published', instant(crl?.thisUpdate, now) ?? 'never'],
    [
      'Next scheduled CRL',
      instant(status.nextScheduledCrl, now) ?? (status.signsCrls ? 'at once' : 'none is signed here'),
    ],
    ...status.responders.map(({ id, notAfter, days, use, signs }): [string, string] => [
      `Responder certificate ${id}`,
      `until ${notAfter} (${days} days)${signs ? ', signs' : use === 'answers' ? ', retired: only its answers are served' : ''}`,
    ]),
  ];
  const rows = facts.map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`);
  return `<article><h3>${escape(status.id)}</h3><p>${escape(status.name)} · preset ${escape(status.preset)}</p><table><tbody>${rows.join('\n')}</tbody></table></article>`;
}

/** `2026-11-21T03:45:00Z (12 min ago)`: an SRE should not have to subtract. */
function instant(text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined;
  const fromNow = Date.parse(text) - now;
  const size = Math.round(Math.abs(fromNow) / 60_000);
  const amount =
    size < 120 ? `${size} min` : size < 2880 ? `${Math.round(size / 60)} h` : `${Math.round(size / 1440)} days`;
  return `${text} (${fromNow <= 0 ? `${amount} ago` : `in ${amount}`})`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fbfbf9; --line: #d5d9de; --quiet: #5a6673; --ok: #17683a; --warn: #8a5300; --bad: #a81e1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181d; --line: #333b45; --quiet: #9aa6b3; --ok: #63c48c; --warn: #e3b04b; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 0 auto; padding: 1rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.5rem; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.25rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: 0; }
.at, article p, footer { color: var(--quiet); } article p { margin-top: 0; }
.verdict { font-weight: 600; } .verdict::before { content: "● "; }
.ok { color: var(--ok); } .warning { color: var(--warn); } .failing { color: var(--bad); }
.problems strong { display: block; } .problems li { margin-bottom: .5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .5rem .3rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; vertical-align: baseline; }
td small { display: block; color: var(--quiet); }
tbody th { font-weight: 400; width: 45%; } .number { text-align: right; }
a { color: inherit; } footer { margin-top: 2rem; }
`;
