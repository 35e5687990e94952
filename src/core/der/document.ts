/**
 * A DER file being read field by field: a response or a CRL that is ours to check, or somebody else's to import.
 *
 * What cannot be read is a Problem that names offset and field. What can be read but is not DER or not the profile's form
 * (a DEFAULT written out, a time with a fraction) is a Deviation: the reader goes on, and lint names the rule.
 */
import { Problem } from '../problem.ts';
import type { EpochMs } from '../time.ts';
import { DerCursor, equalAt, isObjectIdentifier } from './reader.ts';
import { readGeneralizedTime, readUtcTime, TAG_GENERALIZED_TIME, TAG_UTC_TIME } from './time.ts';

export type DeviationKind =
  | 'default-encoded' // X.690 §11.5: a DEFAULT value is left out
  | 'boolean' // X.690 §11.1: TRUE is FF
  | 'empty-sequence' // a SIZE (1..MAX) list, or an OPTIONAL one, written with nothing in it
  | 'duplicate-extension' // RFC 5280 §4.2
  | 'critical' // marked critical where the extension must not be
  | 'time-form' // not UTC, or no seconds, or a fraction, or no such day
  | 'time-type'; // UTCTime from 2050 or GeneralizedTime before: C-07

export interface Deviation {
  readonly kind: DeviationKind;
  readonly field: string;
  readonly offset: number;
}

/** One Extension. `oid` is the content of the OBJECT IDENTIFIER, `value` that of extnValue. */
export interface ExtensionView {
  readonly oid: Uint8Array;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

export class DerDocument {
  readonly cursor: DerCursor;
  readonly deviations: Deviation[] = [];
  readonly #what: string;

  /** `what` is for the messages: `OCSPResponse`, `CRL`. */
  constructor(bytes: Uint8Array, what: string) {
    this.cursor = new DerCursor(bytes);
    this.#what = what;
  }

  /** Steps into an element, see DerCursor. @throws Problem `corrupt` */
  enter(tag: number, field: string): number {
    const outer = this.cursor.enter(tag);
    if (outer < 0) this.#failAt(field);
    return outer;
  }

  /** @throws Problem `corrupt` when something is left unread. */
  leave(outer: number, field: string): void {
    if (!this.cursor.leave(outer)) this.#failAt(field);
  }

  /** Reads an element as cursor.start, cursor.stop. @throws Problem `corrupt` */
  next(tag: number, field: string): void {
    if (!this.cursor.next(tag)) this.#failAt(field);
  }

  any(field: string): void {
    if (!this.cursor.any()) this.#failAt(field);
  }

  deviation(kind: DeviationKind, field: string, offset = this.cursor.header): void {
    this.deviations.push({ kind, field, offset });
  }

  /** @throws Problem `corrupt`, always: for what the tags allow and the type does not. */
  fail(message: string, field: string, rule: string, offset = this.cursor.header): never {
    throw new Problem('corrupt', `${this.#what}: ${message} at octet ${offset}`, { field, rule });
  }

  #failAt(field: string): never {
    const { cursor } = this;
    this.fail(cursor.fault ?? 'truncated', field, 'X.690 §10', cursor.position);
  }

  /** GeneralizedTime; NaN, with a deviation, when it has another form than `YYYYMMDDHHMMSSZ`. */
  generalizedTime(field: string): EpochMs {
    const { cursor } = this;
    this.next(TAG_GENERALIZED_TIME, field);
    const ms = readGeneralizedTime(cursor.bytes, cursor.start, cursor.stop);
    if (ms === undefined) this.deviation('time-form', field);
    return ms ?? NaN;
  }

  /** Time of a CRL (C-07); NaN, with a deviation, for an irregular form. */
  time(field: string): EpochMs {
    const { cursor } = this;
    if (cursor.tag === TAG_GENERALIZED_TIME) {
      const ms = this.generalizedTime(field);
      if (ms < GENERALIZED_TIME_FROM) this.deviation('time-type', field);
      return ms;
    }
    this.next(TAG_UTC_TIME, field);
    const ms = readUtcTime(cursor.bytes, cursor.start, cursor.stop);
    if (ms === undefined) this.deviation('time-form', field);
    return ms ?? NaN;
  }

  /** BIT STRING of whole octets: a signature. */
  bitString(field: string): Uint8Array {
    const { cursor } = this;
    this.next(0x03, field);
    if (cursor.length === 0 || cursor.bytes[cursor.start] !== 0)
      this.fail('not a whole number of octets', field, 'X.690 §8.6.2');
    return cursor.bytes.subarray(cursor.start + 1, cursor.stop);
  }

  /** Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension, the cursor before its SEQUENCE. */
  extensions(field: string): readonly ExtensionView[] {
    const { cursor } = this;
    const list = this.enter(0x30, field);
    if (cursor.atEnd) this.deviation('empty-sequence', field);
    const extensions: ExtensionView[] = [];
    while (!cursor.atEnd) {
      const one = this.enter(0x30, field);
      this.next(0x06, field);
      const oid = cursor.content();
      if (!isObjectIdentifier(oid)) this.fail('no OBJECT IDENTIFIER', field, 'X.690 §8.19.2');
      let critical = false;
      if (cursor.tag === 0x01) critical = this.boolean(field);
      this.next(0x04, field);
      const value = cursor.content();
      this.leave(one, field);
      for (const other of extensions) {
        if (equalAt(oid, 0, oid.length, other.oid)) this.deviation('duplicate-extension', field);
      }
      extensions.push({ oid, critical, value });
    }
    this.leave(list, field);
    return extensions;
  }

  /** BOOLEAN DEFAULT FALSE: FALSE is left out and TRUE is FF (C-31). Both deviations keep their meaning. */
  boolean(field: string): boolean {
    const { cursor } = this;
    this.any(field);
    if (cursor.length !== 1) this.fail('not a BOOLEAN', field, 'X.690 §8.2.1');
    const octet = cursor.bytes[cursor.start];
    if (octet === 0) this.deviation('default-encoded', field);
    else if (octet !== 0xff) this.deviation('boolean', field);
    return octet !== 0;
  }
}

/** The extension with this OID, if there is one. */
export function findExtension(extensions: readonly ExtensionView[], oid: Uint8Array): ExtensionView | undefined {
  for (const extension of extensions) if (equalAt(extension.oid, 0, extension.oid.length, oid)) return extension;
  return undefined;
}

/** RFC 5280 §4.1.2.5. */
const GENERALIZED_TIME_FROM = Date.UTC(2050, 0, 1);
