/**
 * One line of index.txt, the text database of `openssl ca`: six fields between tabs (status, expiry, revocation, serial,
 * file, subject). Read as OpenSSL 3 itself reads it, and more strictly where it is lenient: a serial is positive and at
 * most 20 octets (RFC 5280 §4.1.2.2), a date has seconds and Z (RFC 5280 §4.1.2.5).
 *
 * The index holds neither notBefore nor whether only the precertificate exists; both come from the certificates.
 */
import { Problem } from '../problem.ts';
import { REASON_CODES, type ReasonName } from '../reason.ts';
import { serialFromHex, type Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';
import type { ImportItem, ImportRow } from './row.ts';

/**
 * The certificate on one line, or why the line is refused: never throws. Undefined for an empty line and for a comment
 * (`#`), both of which OpenSSL skips.
 * @param text the line without its line end.
 */
export function readIndexRow(text: string, line: number): ImportItem | undefined {
  if (text.length === 0 || text.startsWith('#')) return undefined;
  try {
    return { row: indexRow(text, line) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { rejected: { line, problem: error.within(`line ${line} `) } };
  }
}

function indexRow(text: string, line: number): ImportRow {
  const expiryAt = fieldEnd(text, 0) + 1;
  const revocationAt = fieldEnd(text, expiryAt) + 1;
  const serialAt = fieldEnd(text, revocationAt) + 1;
  const fileAt = fieldEnd(text, serialAt) + 1;
  const subjectAt = fieldEnd(text, fileAt) + 1;
  if (nextTab(text, subjectAt) !== -1) throw wrongFields(text);

  const status = text.slice(0, expiryAt - 1);
  if (status !== 'V' && status !== 'R' && status !== 'E') {
    throw new Problem('invalid', 'a status is V (valid), R (revoked) or E (expired)', {
      field: 'status',
      value: status,
      rule: RULE,
    });
  }
  const revoked = text.slice(revocationAt, serialAt - 1);
  if (status !== 'R' && revoked !== '') {
    // OpenSSL refuses this too; taking it for good would unrevoke a certificate by a slip of an editor (P2).
    throw new Problem('invalid', `has a revocation date, but its status is ${status}`, {
      field: 'revocation',
      value: revoked,
      rule: RULE,
    });
  }
  return {
    line,
    serial: indexSerial(text.slice(serialAt, fileAt - 1)),
    notBefore: undefined,
    // E is V after `openssl ca -updatedb`: past notAfter, and nothing else about it changed.
    notAfter: instant(text, expiryAt, revocationAt - 1, 'expiry'),
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: status === 'R' ? revocation(revoked) : undefined,
  };
}

/**
 * `date`, `date,reason`, `date,holdInstruction,OID`, `date,keyTime,GENTIME` or `date,CAkeyTime,GENTIME`.
 *
 * The compromise time of the last two is checked, and not taken for the revocation's: the old CA has published `date` as
 * revocationDate and the compromise time as invalidityDate, and what was published stays until somebody decides to
 * backdate it (BR 7.2.2, B-29, T-30), which is a revocation event of its own.
 */
function revocation(text: string): { revokedAt: EpochMs; reason: ReasonName | undefined } {
  if (text === '')
    throw new Problem('invalid', 'status R without a revocation date', {
      field: 'revocation',
      value: text,
      rule: RULE,
    });
  const comma = text.indexOf(',');
  if (comma === -1) return { revokedAt: instant(text, 0, text.length, 'revocation'), reason: undefined };

  const revokedAt = instant(text, 0, comma, 'revocation');
  const second = text.indexOf(',', comma + 1);
  const word = (second === -1 ? text.slice(comma + 1) : text.slice(comma + 1, second)).toLowerCase();
  const argument = second === -1 ? undefined : text.slice(second + 1);
  const known = REASONS.get(word);
  if (known === undefined)
    throw new Problem('invalid', 'not a reason that OpenSSL writes', { field: 'revocation', value: text, rule: RULE });
  if ((argument !== undefined) !== (known.argument !== 'none')) {
    const expected = {
      none: 'takes nothing after it',
      oid: 'needs an instruction after it',
      time: 'needs a time after it',
    }[known.argument];
    throw new Problem('invalid', `${word} ${expected}`, { field: 'revocation', value: text, rule: RULE });
  }
  if (known.argument === 'oid' && !HOLD_INSTRUCTION.test(argument as string)) {
    throw new Problem('invalid', 'not a hold instruction', {
      field: 'revocation',
      value: text,
      rule: 'RFC 2459 §5.3.2',
    });
  }
  if (known.argument === 'time') instant(argument as string, 0, (argument as string).length, 'revocation');
  return { revokedAt, reason: known.reason };
}

/** OpenSSL writes whole octets of the magnitude: no sign, no leading 00 for a set high bit, and `00` for zero. */
function indexSerial(text: string): Serial {
  if (text.length % 2 !== 0 || text.length === 0) {
    throw new Problem('invalid', 'a serial number is an even count of hexadecimal digits', {
      field: 'serial',
      value: text,
      rule: RULE,
    });
  }
  if (!/^[0-9A-Fa-f]+$/.test(text)) {
    // A minus sign is a negative serial, which no certificate may have; 0x and colons are not OpenSSL's.
    throw new Problem('invalid', 'a serial number is written in hexadecimal digits', {
      field: 'serial',
      value: text,
      rule: 'RFC 5280 §4.1.2.2',
    });
  }
  return serialFromHex(text);
}

/** UTCTime YYMMDDHHMMSSZ or GeneralizedTime YYYYMMDDHHMMSSZ in text[start, end): as the certificate has it. */
function instant(text: string, start: number, end: number, field: string): EpochMs {
  const length = end - start;
  const digits = length - 1;
  if ((length === 13 || length === 15) && text.charCodeAt(end - 1) === 0x5a && areDigits(text, start, start + digits)) {
    const rest = end - 11;
    const yy = pair(text, rest - 2);
    // RFC 5280 §4.1.2.5.1: YY from 50 is 19YY, below it is 20YY.
    const year = length === 13 ? (yy >= 50 ? 1900 + yy : 2000 + yy) : pair(text, start) * 100 + yy;
    const month = pair(text, rest);
    const day = pair(text, rest + 2);
    const hour = pair(text, rest + 4);
    const minute = pair(text, rest + 6);
    const second = pair(text, rest + 8);
    if (
      year >= 1900 &&
      month >= 1 &&
      month <= 12 &&
      day >= 1 &&
      day <= daysIn(year, month) &&
      hour <= 23 &&
      minute <= 59 &&
      second <= 59
    ) {
      return Date.UTC(year, month - 1, day, hour, minute, second);
    }
  }
  throw new Problem('invalid', 'not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ', {
    field,
    value: text.slice(start, end),
    rule: 'RFC 5280 §4.1.2.5',
  });
}

function areDigits(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

function pair(text: string, at: number): number {
  return (text.charCodeAt(at) - 0x30) * 10 + text.charCodeAt(at + 1) - 0x30;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Where the field that starts at `from` ends. @throws Problem when the line ends first. */
function fieldEnd(text: string, from: number): number {
  const at = nextTab(text, from);
  if (at === -1) throw wrongFields(text);
  return at;
}

/** OpenSSL escapes a tab inside a field with a backslash, and never the backslash itself. */
function nextTab(text: string, from: number): number {
  let at = text.indexOf('\t', from);
  while (at > from && text.charCodeAt(at - 1) === 0x5c) at = text.indexOf('\t', at + 1);
  return at;
}

function wrongFields(text: string): Problem {
  return new Problem('invalid', 'not six fields between tabs', { field: 'fields', value: text, rule: RULE });
}

const RULE = 'OpenSSL index.txt';

/** By OpenSSL's short or long name, or as an OID. */
const HOLD_INSTRUCTION =
  /^(?:holdInstruction(?:None|CallIssuer|Reject)|Hold Instruction (?:None|Call Issuer|Reject)|[0-2](?:\.\d{1,19}){1,20})$/;

type Argument = 'none' | 'oid' | 'time';

/** OpenSSL matches reasons without regard to case; those it cannot write itself (9, 10) come from other tools. */
const REASONS = new Map<string, { reason: ReasonName | undefined; argument: Argument }>([
  ...Object.keys(REASON_CODES).map((name) => {
    // RFC 5280 §5.3.1: unspecified is expressed by absence (C-23).
    const reason = name === 'unspecified' ? undefined : (name as ReasonName);
    return [name.toLowerCase(), { reason, argument: 'none' as Argument }] as const;
  }),
  ['holdinstruction', { reason: 'certificateHold', argument: 'oid' }],
  ['keytime', { reason: 'keyCompromise', argument: 'time' }],
  ['cakeytime', { reason: 'cACompromise', argument: 'time' }],
]);
