/**
 * Certificates as CSV (RFC 4180): a header line that names the columns, then one certificate per line.
 *
 *     serial,notBefore,notAfter,status,revokedAt,reason,precertificate,crlShard,namesOcsp,spkiHash
 *
 * in any order; serial and notAfter are required. Instants are RFC 3339 UTC, serials hex, status `good` or `revoked`,
 * reasons the names of RFC 5280 §5.3.1, precertificate and namesOcsp (has it an OCSP URL? T-42) `true` or `false`, crlShard the name
 * of a shard or the URL in the certificate, spkiHash the SHA-256 of the SubjectPublicKeyInfo in hex, whole or the first 16 octets. An
 * empty field is an absent one.
 *
 * Stricter than RFC 4180 in two places. An unknown column is refused: a misspelt `revokedAt` would otherwise make every
 * revoked certificate good. A field holds no line break: no column needs one, and so a broken quote spoils one line only.
 */
import { Problem } from '../problem.ts';
import { isReasonName, type ReasonName } from '../reason.ts';
import { serialFromHex } from '../serial.ts';
import { spkiHashFromHex } from '../spki-hash.ts';
import { parseRfc3339, wholeSecond, type EpochMs } from '../time.ts';
import type { ImportItem, ImportRow } from './row.ts';

export const CSV_COLUMNS = [
  'serial',
  'notBefore',
  'notAfter',
  'status',
  'revokedAt',
  'reason',
  'precertificate',
  'crlShard',
  'namesOcsp',
  'spkiHash',
] as const;
export type CsvColumn = (typeof CSV_COLUMNS)[number];

/** Which column stands where, as the header line says. */
export type CsvHeader = readonly CsvColumn[];

/** @throws Problem `invalid` for an unknown, repeated or missing column: no row of the file can be trusted then. */
export function readCsvHeader(text: string, line: number): CsvHeader {
  const where = `line ${line} header`;
  const header: CsvColumn[] = [];
  for (const name of csvFields(text, where)) {
    const column = CSV_COLUMNS.find((known) => known === name.trim());
    if (column === undefined) {
      throw new Problem('invalid', `not a column; columns are ${CSV_COLUMNS.join(', ')}`, {
        field: where,
        value: name,
        rule: RULE,
      });
    }
    if (header.includes(column))
      throw new Problem('invalid', 'named twice', { field: where, value: column, rule: RULE });
    header.push(column);
  }
  for (const required of ['serial', 'notAfter'] as const) {
    if (!header.includes(required))
      throw new Problem('invalid', `there is no column ${required}`, { field: where, value: text, rule: RULE });
  }
  return header;
}

/**
 * The certificate on one line, or why the line is refused: never throws. Undefined for an empty line.
 * @param text the line without its line end.
 */
export function readCsvRow(header: CsvHeader, text: string, line: number): ImportItem | undefined {
  if (text.length === 0) return undefined;
  try {
    return { row: csvRow(header, csvFields(text, 'fields'), line) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { rejected: { line, problem: error.within(`line ${line} `) } };
  }
}

function csvRow(header: CsvHeader, fields: readonly string[], line: number): ImportRow {
  if (fields.length !== header.length) {
    throw new Problem('invalid', `${fields.length} fields under a header of ${header.length}`, {
      field: 'fields',
      value: fields.join(','),
      rule: RULE,
    });
  }
  const at: { [column in CsvColumn]?: string } = {};
  for (const [place, column] of header.entries()) {
    if (fields[place] !== '') at[column] = fields[place] as string;
  }

  const serial = serialFromHex(required(at.serial, 'serial'));
  const notBefore = at.notBefore === undefined ? undefined : parseRfc3339(at.notBefore, 'notBefore');
  const notAfter = parseRfc3339(required(at.notAfter, 'notAfter'), 'notAfter');
  if (notBefore !== undefined && notBefore > notAfter) {
    throw new Problem('invalid', `later than notAfter ${at.notAfter}`, {
      field: 'notBefore',
      value: at.notBefore,
      rule: 'RFC 5280 §4.1.2.5',
    });
  }
  return {
    line,
    serial,
    notBefore,
    notAfter,
    precertificate: flag(at.precertificate, 'precertificate') === true,
    crlShard: crlShard(at.crlShard),
    withoutOcsp: flag(at.namesOcsp, 'namesOcsp') === false,
    spkiHash: at.spkiHash === undefined ? undefined : spkiHashFromHex(at.spkiHash, 'spkiHash'),
    revocation: revocation(at.status, at.revokedAt, at.reason),
  };
}

/** Status, date and reason must tell one story: half a revocation is refused, never read as good (P2). */
function revocation(
  status: string | undefined,
  revokedAt: string | undefined,
  reason: string | undefined,
): { revokedAt: EpochMs; reason: ReasonName | undefined } | undefined {
  if (status !== undefined && status !== 'good' && status !== 'revoked') {
    throw new Problem('invalid', 'a status is good or revoked', { field: 'status', value: status, rule: RULE });
  }
  if (status === 'good' && revokedAt !== undefined) {
    throw new Problem('invalid', 'has a date of revocation, but its status is good', {
      field: 'revokedAt',
      value: revokedAt,
      rule: RULE,
    });
  }
  if (reason !== undefined && !isReasonName(reason)) {
    throw new Problem('invalid', 'not a reason', { field: 'reason', value: reason, rule: 'RFC 5280 §5.3.1' });
  }
  if (revokedAt === undefined) {
    if (status === 'revoked')
      throw new Problem('invalid', 'revoked, but there is no date of revocation', {
        field: 'revokedAt',
        value: '',
        rule: RULE,
      });
    if (reason !== undefined)
      throw new Problem('invalid', 'has a reason, but there is no date of revocation', {
        field: 'reason',
        value: reason,
        rule: RULE,
      });
    return undefined;
  }
  return {
    revokedAt: wholeSecond(parseRfc3339(revokedAt, 'revokedAt')),
    // RFC 5280 §5.3.1: unspecified is expressed by absence (C-23).
    reason: reason === 'unspecified' ? undefined : reason,
  };
}

function flag(text: string | undefined, field: CsvColumn): boolean | undefined {
  if (text !== undefined && text !== 'true' && text !== 'false') {
    throw new Problem('invalid', 'true or false', { field, value: text, rule: RULE });
  }
  return text === undefined ? undefined : text === 'true';
}

function crlShard(text: string | undefined): string | undefined {
  if (text !== undefined && !/^[\u0021-\u007e]{1,255}$/.test(text)) {
    throw new Problem('invalid', 'a shard is named by at most 255 printable ASCII characters without spaces', {
      field: 'crlShard',
      value: text,
      rule: RULE,
    });
  }
  return text;
}

function required(text: string | undefined, column: CsvColumn): string {
  if (text === undefined) throw new Problem('invalid', 'is required', { field: column, value: '', rule: RULE });
  return text;
}

/** RFC 4180 §2 rules 4–7: fields between commas, as they stand or in quotes with `""` for a quote. */
function csvFields(text: string, field: string): string[] {
  if (!text.includes('"')) return text.split(',');
  const fields: string[] = [];
  for (let at = 0; at <= text.length;) {
    if (text[at] !== '"') {
      const comma = text.indexOf(',', at);
      const end = comma === -1 ? text.length : comma;
      const plain = text.slice(at, end);
      if (plain.includes('"'))
        throw new Problem('invalid', 'a quote inside a field that is not in quotes', {
          field,
          value: plain,
          rule: 'RFC 4180 §2',
        });
      fields.push(plain);
      at = end + 1;
      continue;
    }
    let close = text.indexOf('"', at + 1);
    while (close !== -1 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
    if (close === -1)
      throw new Problem('invalid', 'a quote that is not closed on its line', {
        field,
        value: text.slice(at),
        rule: 'RFC 4180 §2',
      });
    if (close + 1 < text.length && text[close + 1] !== ',') {
      throw new Problem('invalid', 'text after a closing quote', { field, value: text.slice(at), rule: 'RFC 4180 §2' });
    }
    fields.push(text.slice(at + 1, close).replaceAll('""', '"'));
    at = close + 2;
  }
  return fields;
}

const RULE = 'CSV import columns';
