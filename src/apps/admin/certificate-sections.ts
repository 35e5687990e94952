/** The facts of a certificate as HTML: the verdict first, then where each part of it comes from. Everything is escaped. */
import type { RevocationCaseView } from '../../core/certificate-history.ts';
import { nameText } from '../../core/name.ts';
import { extensionOf, isPrecertificate, OID } from '../../core/certificate-extensions.ts';
import { CLAUSES } from '../../core/policy/clause.ts';
import { RECORDED_TO_CRL_MS } from '../../core/revocation-report.ts';
import { algorithmOf } from '../../core/signature-algorithm.ts';
import { formatDuration, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { CurrentAnswer } from '../../flows/serve/current-answer.ts';
import type { Asked, CertificateFacts, CrlFacts } from './certificate-facts.ts';
import { decimalOf, withColons } from './certificate-question.ts';
import { escape } from './layout.ts';

/** What the audit log says of it; newest first. */
export interface History {
  readonly lines: readonly {
    readonly at: string;
    readonly seq: number;
    readonly what: string;
    readonly actor: string;
  }[];
  readonly case: RevocationCaseView | undefined;
  /** Undefined: the whole log was looked at; else what was not, in words. */
  readonly rest: string | undefined;
}

/** Name, value, and what it means. */
type Row = readonly [name: string, value: string, meaning?: string | undefined];

/** @param withheld why there is no history. */
export function certificateSections(
  facts: CertificateFacts,
  history: History | undefined,
  withheld: string | undefined,
): string {
  const { answers, crls, asked } = facts;
  return [
    verdict(facts),
    section('certificate-facts', 'The certificate', card(table(certificateRows(facts)))),
    section('why', 'Status, and why', card(`${table(statusRows(facts, history))}\n${steps(facts)}`)),
    section('ocsp', 'What OCSP says', `${answers.map((answer) => answerArticle(answer, facts)).join('\n') || noAnswer(facts)}\n${checks(asked, facts)}`), // prettier-ignore
    crls.length === 0 ? '' : section('crl', 'What its CRL says', crls.map((crl) => crlArticle(crl, facts)).join('\n')),
    section('history', 'History', card(historyTable(history, withheld))),
  ].join('\n');
}

function verdict({ found, receipt, explanation, disagreements, answers, at }: CertificateFacts): string {
  const agree =
    found.kind === 'unknown'
      ? ''
      : disagreements.length === 0
        ? `<p class="ok">${receipt?.state === 'visible' ? 'Ledger, OCSP and CRL agree.' : 'Nothing that is published contradicts the ledger; not everything says it yet.'}</p>`
        : `<div class="failing" role="alert"><p>Ledger, OCSP and CRL do not agree:</p><ul>${disagreements.map((one) => `<li>${escape(one)}</li>`).join('')}</ul></div>`;
  const [tone, text] = verdictText(found, explanation.answer);
  const bad = answers.filter((one) => !one.verified || one.findings.some(({ severity }) => severity === 'error'));
  const broken = bad.map(({ hash }) => `<p class="failing" role="alert">The answer for ${hash} CertIDs does not stand up to a check: see below.</p>`); // prettier-ignore
  return `<div class="verdict ${tone}" role="status"><p class="said">${escape(text)}</p><p class="at">as of <time>${rfc3339(wholeSecond(at))}</time></p></div>\n${agree}${broken.join('')}`;
}

function verdictText(found: CertificateFacts['found'], answer: string): readonly [tone: string, text: string] {
  if (found.kind === 'unknown') return ['warning', `Not issued here: clients get ${answer}, never good`];
  const { revocation } = found.certificate;
  const status =
    revocation === undefined
      ? 'Good'
      : `Revoked since ${rfc3339(revocation.revokedAt)}, reason ${revocation.reason ?? 'none given'}`;
  if (found.kind === 'pending') return ['warning', `${status}; no answer says so yet: it waits to be signed`];
  return [revocation === undefined ? 'ok' : 'failing', `${status}; clients get ${answer}`];
}

function certificateRows({ issuer, serial, given, found }: CertificateFacts): readonly Row[] {
  const known = found.kind === 'unknown' ? undefined : found.certificate;
  const optional = (at: EpochMs | undefined): string => (at === undefined ? 'not known' : rfc3339(at));
  return [
    ['Serial number', withColons(serial), `decimal ${decimalOf(serial)}`],
    ['Issuer', issuer.id, issuer.issuer.name],
    ...(given === undefined ? [] : ([['Subject', nameText(given.subjectDer) || 'empty: its names are in subjectAltName'], ['Pasted as', isPrecertificate(given) ? 'precertificate' : 'certificate', extensionOf(given, OID.sctList) ? 'with SCTs' : 'without SCTs']] satisfies Row[])), // prettier-ignore
    ['Valid', `${optional(given?.notBefore ?? known?.notBefore)} to ${optional(given?.notAfter ?? known?.notAfter)}`],
    ...(known === undefined ? [] : ([['Recorded as', known.precertificate ? 'precertificate alone: it counts as issued (BR 4.9.9)' : 'certificate', `revision ${known.revision}`]] satisfies Row[])), // prettier-ignore
  ];
}

function statusRows({ found, receipt, at }: CertificateFacts, history: History | undefined): readonly Row[] {
  if (found.kind === 'unknown') return [['Status', 'not issued', 'no certificate or precertificate with this serial is recorded for this issuer (RFC 9919 §3.2.3, BR 4.9.9)']]; // prettier-ignore
  const { certificate } = found;
  const { revocation, recordedAt } = certificate;
  const recorded: Row = ['Recorded', rfc3339(recordedAt), 'durable in the audit log from then on'];
  const signed: Row = [
    'Visible in OCSP',
    receipt?.ocspVisibleAt ?? 'not yet',
    'first answer of this state, on every responder',
  ];
  if (revocation === undefined) return [['Status', 'good', 'issued, and not revoked'], recorded, signed];
  const { clause, requestedBy, awareAt, deadline, actor, mass } = history?.case ?? {};
  const event = CLAUSES.find(({ id }) => id === clause?.replace(/^CT-/, ''))?.event;
  const limits = [recordedAt + RECORDED_TO_CRL_MS, ...(deadline === undefined ? [] : [Date.parse(deadline)])];
  const limit = Math.min(...limits);
  const { ocspVisibleAt, crlVisibleAt } = receipt ?? {};
  const seen = ocspVisibleAt !== undefined && crlVisibleAt !== undefined;
  const margin = limit - (seen ? Math.max(Date.parse(ocspVisibleAt), Date.parse(crlVisibleAt)) : at);
  const rows: (Row | undefined)[] = [
    ['Status', 'revoked', 'final: a revocation is never taken back'],
    ['Revoked at', rfc3339(revocation.revokedAt), 'what OCSP and CRL say'],
    [
      'Reason',
      revocation.reason ?? 'none',
      revocation.reason === undefined ? 'none was given, so none is published (CT-7.2-b)' : '',
    ],
    clause === undefined ? undefined : ['Clause', clause, event],
    requestedBy === undefined ? undefined : ['Asked for by', requestedBy],
    actor === undefined ? undefined : ['Recorded by', actor, mass === undefined ? '' : `mass revocation ${mass}`],
    awareAt === undefined ? undefined : ['CA became aware', awareAt],
    recorded,
    signed,
    ['Visible on the CRL', crlVisibleAt ?? 'not yet', 'first CRL with it, on every responder'],
    ['Limit', rfc3339(limit), deadline === undefined ? '24 h from its record (B-14, CT-4.9.7-b)' : 'the earlier of the clause’s and 24 h from its record'], // prettier-ignore
    [
      'Margin',
      margin >= 0
        ? `${formatDuration(round(margin))} ${seen ? 'kept' : 'left'}`
        : `${formatDuration(round(-margin))} LATE`,
    ],
  ];
  return rows.filter((row) => row !== undefined);
}

/** Two units will do. */
const round = (ms: number): number => Math.floor(ms / SECOND) * SECOND;

function steps({ explanation }: CertificateFacts): string {
  const items = explanation.steps.map(
    ({ step, finding, rule }) => `<li><strong>${escape(step)}</strong>: ${escape(finding)}${rule === undefined ? '' : ` <small>(${escape(rule)})</small>`}</li>`, // prettier-ignore
  );
  return `<details${explanation.answer === 'unauthorized' ? ' open' : ''}><summary>Each decision on the way to “${escape(explanation.answer)}”</summary><ol>${items.join('\n')}</ol></details>`;
}

function answerArticle(answer: CurrentAnswer, { found, issuer, at }: CertificateFacts): string {
  const { hash, der, decoded, responder, servable, findings } = answer;
  const [single] = decoded.responses;
  const algorithm = algorithmOf(decoded.signatureAlgorithm);
  const refreshAt = found.kind === 'published' ? found.response.refreshAt : undefined;
  const rows: Row[] = [
    ['responseStatus', 'successful', `${der.length} octets`],
    ['certStatus', single?.certStatus ?? 'none', single?.revocationTime === undefined ? 'issued, and not revoked' : `since ${rfc3339(single.revocationTime)}, CRLReason ${single.revocationReason ?? 'absent'}`], // prettier-ignore
    ['thisUpdate', instant(single?.thisUpdate, at), 'its status was known to be right then'],
    [
      'nextUpdate',
      instant(single?.nextUpdate, at),
      servable ? 'clients take it until then' : 'it is NOT served: it has run out, or is of the future',
    ],
    ['Next refresh', instant(refreshAt, at), 'planned: a new answer replaces it then'],
    ['producedAt', instant(decoded.producedAt, at), 'as thisUpdate: it was signed ahead of time'],
    ['responderID', decoded.responderID.by === 'key' ? `byKey ${hex(decoded.responderID.keyHash)}` : 'byName', `responder certificate ${responder.id}, until ${rfc3339(responder.notAfter)}`], // prettier-ignore
    ['CertID', `${hash}, name ${hex(single?.issuerNameHash)}, key ${hex(single?.issuerKeyHash)}`, issuer.issuer.name],
    [
      'Extensions',
      String(decoded.responseExtensions.length + (single?.singleExtensions.length ?? 0)),
      'a nonce would be here, in an answer signed for one request',
    ],
    ['Signature', algorithm === undefined ? 'unknown algorithm' : `${algorithm.kind} ${algorithm.hash}`, answer.verified ? 'verified now, with the key of the responder certificate' : 'does NOT verify'], // prettier-ignore
    [
      'Lint',
      findings.length === 0
        ? 'nothing found'
        : findings.map(({ severity, rule, message }) => `${severity} ${rule}: ${message}`).join('; '),
      'every rule of the authorities that bind this CA',
    ],
  ];
  return `<article class="card"><h3>Answer for ${hash === 'sha1' ? 'SHA-1' : 'SHA-256'} CertIDs</h3>${table(rows)}
<details><summary>Its octets</summary>
<p><label>Base64<br><textarea readonly rows="6">${der.toString('base64')}</textarea></label></p>
<p><label>Hexadecimal<br><textarea readonly rows="6">${der.toString('hex')}</textarea></label></p>
<p>Read it: <code>base64 -d &lt;&lt;&lt; '…' | openssl ocsp -respin /dev/stdin -resp_text -noverify</code></p></details></article>`;
}

function noAnswer({ found, explanation, issuer }: CertificateFacts): string {
  const why =
    found.kind === 'unknown'
      ? `There is none and there will be none: nothing is signed for what ${issuer.id} has not issued. Clients get ${explanation.answer}, which no cache keeps.`
      : found.kind === 'pending'
        ? 'None of its present state is signed yet. The signer’s lanes on the status page say what it waits for.'
        : 'The responder certificate that signed the answer is not known here, or its answers are served no more.';
  return `<p>${escape(why)}</p>`;
}

function checks(asked: readonly Asked[], { serial }: CertificateFacts): string {
  const items = asked.map(({ hash, base, getUrl }) => {
    const flag = hash === 'sha1' ? '' : '-sha256 ';
    const command = `openssl ocsp -issuer ca.pem -CAfile ca.pem -partial_chain ${flag}-serial 0x${serial} -no_nonce -resp_text -url ${base}`;
    return `<li>${hash === 'sha1' ? 'SHA-1' : 'SHA-256'} CertID:<br><code>${escape(command)}</code><br>GET: <code>${escape(getUrl)}</code></li>`;
  });
  return `<details><summary>Check it yourself</summary><p>With the CA’s certificate as ca.pem:</p><ul>${items.join('\n')}</ul></details>`;
}

function crlArticle({ shard, url, record, entry, problem, why }: CrlFacts, { found, at }: CertificateFacts): string {
  const title = shard === '' ? 'Complete CRL' : `CRL of shard ${shard}`;
  if (record === undefined) return `<article class="card"><h3>${escape(title)}</h3><p>None is published.</p></article>`;
  const revoked = found.kind !== 'unknown' && found.certificate.revocation !== undefined;
  const listed =
    problem !== undefined
      ? `could not be read: ${problem}`
      : entry !== undefined
        ? `listed: revoked ${rfc3339(entry.revocationDate)}, reason ${entry.reason ?? 'none'}`
        : 'not listed';
  const meaning =
    entry === undefined && revoked
      ? 'it waits for the next CRL, or has left after the certificate expired'
      : 'read from the CRL itself just now';
  const signing = why?.signing;
  const rows: Row[] = [
    ['Entry', listed, problem === undefined ? meaning : ''],
    ['Number', record.number.toString(), `${record.kind}, ${record.entries.toLocaleString('en')} entries, ${record.bytes.toLocaleString('en')} octets`], // prettier-ignore
    ...(url === undefined ? [] : ([['URL', url]] satisfies Row[])),
    ['thisUpdate', instant(record.thisUpdate, at)],
    ['nextUpdate', instant(record.nextUpdate, at), at > record.nextUpdate ? 'it has run out' : ''],
    ...(signing === undefined ? [] : ([['Next', `scheduled ${signing.scheduled ?? 'at once'}; ${signing.waiting} changes wait`, signing.lastFailure === undefined ? '' : `last failure ${signing.lastFailure.at}: ${signing.lastFailure.message}`]] satisfies Row[])), // prettier-ignore
  ];
  return `<article class="card"><h3>${escape(title)}</h3>${table(rows)}</article>`;
}

function historyTable(history: History | undefined, withheld: string | undefined): string {
  if (history === undefined) return `<p>${escape(withheld ?? 'There is none.')}</p>`;
  const rows = history.lines.map(
    ({ at, seq, what, actor }) =>
      `<tr><th scope="row"><time>${escape(at)}</time><small>#${seq}</small></th><td>${escape(what)}<small>by ${escape(actor)}</small></td></tr>`,
  );
  const rest = history.rest === undefined ? '' : `<p>${escape(history.rest)}</p>`;
  if (rows.length === 0) return `<p>The audit log of this process says nothing of it.</p>${rest}`;
  return `<table class="stack pairs"><thead><tr><th scope="col">When, record</th><th scope="col">What, by whom</th></tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>${rest}`;
}

function section(id: string, title: string, body: string): string {
  return `<section aria-labelledby="${id}"><h2 id="${id}">${escape(title)}</h2>\n${body}</section>`;
}

const card = (body: string): string => `<div class="card">${body}</div>`;

function table(rows: readonly Row[]): string {
  const lines = rows.map(
    ([name, value, meaning]) =>
      `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}${meaning ? `<small>${escape(meaning)}</small>` : ''}</td></tr>`,
  );
  return `<table class="stack pairs"><tbody>\n${lines.join('\n')}\n</tbody></table>`;
}

/** An SRE should not have to subtract. */
function instant(at: EpochMs | undefined, now: EpochMs): string {
  if (at === undefined || Number.isNaN(at)) return 'none';
  const away = formatDuration(Math.floor(Math.abs(at - now) / (60 * SECOND)) * 60 * SECOND);
  return `${rfc3339(at)} (${at <= now ? `${away} ago` : `in ${away}`})`;
}

function hex(octets: Uint8Array | undefined): string {
  return octets === undefined ? 'none' : Buffer.from(octets).toString('hex');
}
