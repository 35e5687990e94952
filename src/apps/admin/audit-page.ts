/**
 * The audit log of this process from its end: what was last, by type, person and day. A look is bounded in time and is itself a record
 * (CT-5.4.4); the whole log, and its proof, are the commands'.
 */
import type { FastifyInstance } from 'fastify';
import { openRecord, type JournalRecord } from '../../core/journal-record.ts';
import { Problem } from '../../core/problem.ts';
import { DAY, parseRfc3339, rfc3339, type EpochMs } from '../../core/time.ts';
import type { Core } from '../core.ts';
import { auditDir } from '../data-directory.ts';
import type { Access } from './access.ts';
import { send } from './actions.ts';
import { escape } from './layout.ts';
import { searchLog, type Found } from './log-search.ts';
import type { AccessRecords } from './records.ts';

export interface AuditPageParts {
  readonly access: Access;
  readonly core: Core;
  readonly records: AccessRecords;
}

interface Filter {
  readonly type: string;
  readonly actor: string;
  /** `2026-11-21`, UTC. */
  readonly day: string;
  readonly before: number | undefined;
}

const HERE = '/audit';
const PER_PAGE = 50;
/** Of one line on the page; the whole is behind it. */
const MOST_DETAIL = 20_000;

export function addAuditPage(app: FastifyInstance, { access, core, records }: AuditPageParts): void {
  app.get(HERE, { config: { needs: 'audit' } }, async (request, reply) => {
    const { operator, viewer } = access.askerOf(request);
    const { journal, config, clock } = core;
    const title = '<header><h1>Audit log</h1></header>\n';
    if (journal === undefined) {
      const nothing =
        '<p>This process serves answers and records nothing: the logs are on the pages of intakes, signers and monitors.</p>';
      return send(reply, 'Audit log', viewer, title + nothing, HERE);
    }
    const filter = filterOf(request.query as Readonly<Record<string, unknown>>);
    const begins = filter.day === '' ? undefined : parseRfc3339(`${filter.day}T00:00:00Z`, 'day');
    await records.write({ type: 'audit.read', actor: operator.actor, description: `audit log${inWords(filter)}` });
    const found = await searchLog(
      auditDir(config),
      {
        before: filter.before,
        maybe: (line) => filter.type === '' || line.includes(`"type":"${filter.type}"`),
        wanted: (record) => wanted(record, filter, begins),
        most: PER_PAGE,
      },
      clock,
    );
    const { head, failure } = journal;
    const state = failure === undefined ? 'can be written' : `CANNOT be written: ${failure}`;
    const body = `${title}<div class="card"><table class="stack pairs"><tbody>
<tr><th scope="row">Head of the chain</th><td>record ${head.seq.toLocaleString('en')}<small>${head.hash}</small></td></tr>
<tr><th scope="row">Log of process ${escape(config.name)}</th><td>${escape(state)}</td></tr>
<tr><th scope="row">Prove it</th><td><code>certstatus audit verify</code><small>reads every record of the chain, and holds its end against the ledger</small></td></tr>
<tr><th scope="row">Take it along</th><td><code>certstatus audit export --from … --to … --type …</code><small>JSON lines, with the chain</small></td></tr>
</tbody></table></div>
${form(filter)}
${listOf(found)}
${older(found, filter)}`;
    return send(reply, 'Audit log', viewer, body, HERE);
  });
}

/** @throws Problem `invalid` */
function filterOf(query: Readonly<Record<string, unknown>>): Filter {
  const text = (name: string, most: number): string => {
    const value = query[name] ?? '';
    if (typeof value !== 'string' || value.length > most)
      throw new Problem('invalid', 'is not a filter', { field: name });
    return value.trim();
  };
  const [type, day, before] = [text('type', 40), text('day', 10), text('before', 15)];
  if (!/^[a-z.-]*$/.test(type))
    throw new Problem('invalid', 'is no type of record, like crl.published', { field: 'type', value: type });
  if (!/^\d{0,15}$/.test(before))
    throw new Problem('invalid', 'is no record number', { field: 'before', value: before });
  return { type, day, actor: text('actor', 100), before: before === '' ? undefined : Number(before) };
}

function wanted(record: JournalRecord, { type, actor }: Filter, begins: EpochMs | undefined): boolean | 'stop' {
  if (begins !== undefined) {
    const at = Date.parse(record.at);
    // Where the clock was set back the order of records is not that of their times: an hour's grace, and no more is looked at.
    if (at < begins - GRACE_MS) return 'stop';
    if (at < begins || at >= begins + DAY) return false;
  }
  return (type === '' || record.type === type) && record.actor.toLowerCase().includes(actor.toLowerCase());
}

const GRACE_MS = 60 * 60 * 1000;

function listOf({ records }: Found): string {
  if (records.length === 0) return '<p role="status">No such record was found.</p>';
  const rows = records.map((record) => {
    const { seq, at, type, actor, issuer, description } = record;
    const whole = JSON.stringify(record, null, 1);
    const shown = whole.length > MOST_DETAIL ? `${whole.slice(0, MOST_DETAIL)}\n… ${whole.length - MOST_DETAIL} characters more: certstatus audit export` : whole; // prettier-ignore
    const mark = isWhole(record)
      ? ''
      : '<strong class="failing" role="alert">does not match its hash: run certstatus audit verify</strong>';
    return `<tr><th scope="row"><time>${escape(at)}</time><small>#${seq}</small></th><td><strong>${escape(type)}</strong>${issuer === undefined ? '' : ` ${escape(issuer)}`}${mark}<br>${escape(description)}<small>by ${escape(actor)}</small><details><summary>Record ${seq}</summary><pre>${escape(shown)}</pre></details></td></tr>`;
  });
  return `<table class="stack pairs"><thead><tr><th scope="col">When, record</th><th scope="col">What, by whom</th></tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>`;
}

/** Its own hash; whether it follows the one before it is `audit verify`'s question. JSON.stringify gives back the octets that were written. */
function isWhole(record: JournalRecord): boolean {
  try {
    openRecord(JSON.stringify(record), record, HERE);
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

function older({ records, lookedBackTo, whole }: Found, filter: Filter): string {
  if (whole || lookedBackTo === undefined) return '<p>That is all.</p>';
  const before = String(Math.min(lookedBackTo, records.at(-1)?.seq ?? Infinity));
  const query = new URLSearchParams({ type: filter.type, actor: filter.actor, day: filter.day, before });
  const note = records.length < PER_PAGE ? 'Looked for two seconds. ' : '';
  return `<p>${note}<a href="${HERE}?${escape(query.toString())}" rel="next">Before record ${before}</a></p>`;
}

function form({ type, actor, day }: Filter): string {
  const input = (name: string, label: string, value: string, more = ''): string =>
    `<label for="${name}">${label}</label> <input id="${name}" name="${name}" value="${escape(value)}" ${more}>\n`;
  return `<form method="get" action="${HERE}" role="search" aria-label="Records"><p>
${input('type', 'Type', type, 'placeholder="crl.published" size="20"')}${input('actor', 'By whom', actor, 'size="20"')}${input('day', 'Day (UTC)', day, 'type="date"')}<button type="submit">Show</button></p></form>`;
}

function inWords({ type, actor, day, before }: Filter): string {
  const parts = [
    type && `of type ${type}`,
    actor && `by ${actor}`,
    day && `of ${rfc3339(Date.parse(`${day}T00:00:00Z`)).slice(0, 10)}`,
    before === undefined ? '' : `before record ${before}`,
  ].filter(Boolean);
  return parts.length === 0 ? '' : `, ${parts.join(', ')}`;
}
