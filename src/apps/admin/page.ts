/** The status page: reloads itself. Every value is escaped. */
import { document, escape, type Viewer } from './layout.ts';
import type { ArchiveStatus, IssuerStatus, ProcessStatus, Status, TokenStatus } from './status.ts';

export function statusPage(status: Status, viewer: Viewer): string {
  const verdict = { ok: 'All promises kept', warning: 'Needs attention', failing: 'A promise is broken' }[
    status.verdict
  ];
  const body = `<header>
<h1>certstatus</h1>
<p class="verdict ${status.verdict}">${verdict}</p>
<p class="at">as of <time>${escape(status.at)}</time>, reloads every 10 s</p>
</header>
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
${status.archive === undefined ? '' : `<p>${archive(status.archive, Date.parse(status.at))}</p>`}
</section>
<footer><a href="/metrics">metrics</a> · <a href="/status.json">status.json</a> · <a href="/readyz">readyz</a></footer>`;
  return document({ title: verdict, viewer, path: '/', reloads: 10, body });
}

function problems(status: Status): string {
  if (status.problems.length === 0) return '';
  const items = status.problems.map(
    ({ severity, what, todo }) => `<li class="${severity}"><strong>${escape(what)}</strong> ${escape(todo)}</li>`,
  );
  return `<section aria-labelledby="problems"><h2 id="problems">What is wrong, and what to do</h2><ul class="problems">${items.join('\n')}</ul></section>`;
}

function archive({ verifiedAt, problems, copies }: ArchiveStatus, now: number): string {
  const verified =
    verifiedAt === undefined
      ? 'not verified yet'
      : `verified ${instant(verifiedAt, now)}, ${problems === 0 ? 'nothing wrong' : `${problems} problems`}`;
  if (copies === undefined) return escape(`CRL archive: ${verified}; kept in one place only.`);
  const waiting = copies.waiting ?? 'some';
  const copied =
    waiting === 0
      ? `all copied to ${copies.describe}`
      : `${waiting.toLocaleString('en')} not yet copied to ${copies.describe}`;
  return escape(`CRL archive: ${verified}; ${copied}.`);
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
