/**
 * Whether the archived CRLs of a scope are all that were published (CT-5.5.1-3). Numbers have gaps: they grow by the seconds at least,
 * and one that was reserved and not used is never used again (C-10). So what proves the sequence is that each CRL names the one
 * it replaced. A CRL of before this was recorded counts by adjacency.
 */
import type { CrlRecord } from '../certificate.ts';
import { rfc3339 } from '../time.ts';

/** What the journal says of a number. */
export interface JournalledCrl {
  readonly number: bigint;
  readonly sha256: string;
  readonly kind: 'published' | 'refused';
}

export interface SequenceRow {
  readonly record: CrlRecord;
  /**
   * `first`: nothing before it. `named`: names the one that it replaced, which is here. `adjacent`: names none. `broken`: names one
   * that is not here. `overtaken`: archived, but what follows replaced the one before it, so it was never published.
   */
  readonly link: 'first' | 'named' | 'adjacent' | 'broken' | 'overtaken';
  /** Numbers between the row before and this one of which the journal knows what became of them. */
  readonly between: readonly { readonly number: bigint; readonly what: string }[];
}

export interface Sequence {
  readonly rows: readonly SequenceRow[];
  /** What is missing, one line each; none: unbroken. */
  readonly missing: readonly string[];
  /** `unbroken: 12 CRLs from … to …`, or what is missing. */
  readonly verdict: string;
}

/**
 * @param records ascending by number.
 * @param journalled of the same scope, in any order; may be incomplete.
 */
export function judgeSequence(records: readonly CrlRecord[], journalled: readonly JournalledCrl[]): Sequence {
  const missing: string[] = [];
  const byNumber = new Map(records.map((record, i) => [record.number.toString(), i]));
  const replaced = (record: CrlRecord): number | undefined => {
    const at = record.previous && byNumber.get(record.previous.number);
    return at !== undefined && records[at]?.sha256 === record.previous?.sha256 ? at : undefined;
  };
  const overtaken = new Set<number>();
  records.forEach((record, i) => {
    for (let at = (replaced(record) ?? i) + 1; at < i; at += 1) overtaken.add(at);
  });
  const told = [...journalled].sort((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : 0));
  let next = 0;
  const rows = records.map((record, i): SequenceRow => {
    const at = record.previous === undefined ? i - 1 : replaced(record);
    const before = at === undefined ? undefined : records[at];
    const between: { number: bigint; what: string }[] = [];
    for (; next < told.length && (told[next] as JournalledCrl).number <= record.number; next += 1) {
      const { number, sha256, kind } = told[next] as JournalledCrl;
      if (number === record.number) {
        if (kind === 'published' && sha256 !== record.sha256)
          missing.push(`CRL ${number}: the journal says that another one was published, with SHA-256 ${sha256}`);
      } else if (kind === 'refused') between.push({ number, what: 'signed, refused by the gate, never published' });
      // This one names what it replaced: had that been published, it would have named it.
      else if (record.previous !== undefined && BigInt(record.previous.number) < number)
        between.push({ number, what: 'signed, overtaken before it was published' });
      else missing.push(`CRL ${number}: the journal says that it was signed for publication, and it is not archived`);
    }
    const link = overtaken.has(i) ? 'overtaken' : linkOf(record, before);
    if (link === 'broken' && record.previous !== undefined)
      missing.push(
        `CRL ${record.previous.number}, which CRL ${record.number} replaced, SHA-256 ${record.previous.sha256}`,
      );
    if (link !== 'overtaken' && before !== undefined && record.thisUpdate <= before.thisUpdate)
      missing.push(`CRL ${record.number}: its thisUpdate is not later than that of CRL ${before.number} (C-10)`);
    return { record, link, between };
  });
  for (; next < told.length; next += 1) {
    const { number, kind } = told[next] as JournalledCrl;
    if (kind === 'published')
      missing.push(`CRL ${number}: the journal says that it was signed for publication after all that are archived`);
  }
  const published = records.filter((_, i) => !overtaken.has(i));
  return { rows, missing, verdict: verdictOf(published, missing) };
}

function linkOf(record: CrlRecord, before: CrlRecord | undefined): SequenceRow['link'] {
  if (record.previous === undefined) return before === undefined ? 'first' : 'adjacent';
  return before === undefined ? 'broken' : 'named';
}

function verdictOf(records: readonly CrlRecord[], missing: readonly string[]): string {
  if (missing.length > 0) return `broken: ${missing.length === 1 ? 'one finding' : `${missing.length} findings`}`;
  const [first, last] = [records[0], records.at(-1)];
  if (first === undefined || last === undefined) return 'empty: no CRL is archived';
  const count = records.length === 1 ? '1 CRL' : `${records.length} CRLs`;
  return `unbroken: ${count} from ${rfc3339(first.thisUpdate)} to ${rfc3339(last.thisUpdate)}`;
}
