/**
 * Entries of the change feed. An entry holds what one script has changed, as events one after the other:
 *
 *     'r' lane 1 | length 1 | serial | length 2 | record (records.ts, without the answer)   recorded
 *     'a' length 1 | serial | revision 3                                                    first answer of a revision
 *     'c' record (JSON)                                                                     CRL; its DER is fetched
 *     'p' DER                                                                               responder certificate
 *     't' id and use (JSON)                                                                 responder certificate retired
 *     'g'                                                                                   more than an entry may hold
 *
 * The count that the ledger stamps its records with stands beside them: it is not known before the script runs.
 */
import { LANES, type CrlRecord, type IssuerTag, type Lane } from '../../core/certificate.ts';
import type { ResponderUse } from '../../core/policy/responder-choice.ts';
import { serialBytes, type Serial } from '../../core/serial.ts';
import type { Change } from '../../ports/store.ts';
import { decodeRecord, encodeRecord, withStamp } from './records.ts';

export type FeedEvent =
  | { readonly type: 'recorded'; readonly change: Change }
  | { readonly type: 'answered'; readonly serial: Serial; readonly revision: number }
  | { readonly type: 'crl'; readonly record: CrlRecord }
  | { readonly type: 'responder'; readonly der: Buffer }
  | { readonly type: 'responder-retired'; readonly responder: string; readonly use: Exclude<ResponderUse, 'signing'> }
  | { readonly type: 'gap' };

/** Beyond it (a mass import of revoked certificates) followers are told to read again instead. */
const MAX_PAYLOAD = 256 * 1024;
const NO_LANE = 0xff;

/** The payload of an entry; empty when there is nothing to tell. */
export function encodeEvents(events: readonly FeedEvent[]): Buffer {
  const payload = Buffer.concat(events.map(encodeEvent));
  const single = events[0]?.type === 'responder' || events[0]?.type === 'crl';
  return payload.length > MAX_PAYLOAD && !single ? Buffer.from('g') : payload;
}

/** @param stamp the ledger's count with which the entry's changes were recorded. */
export function decodeEvents(issuer: IssuerTag, payload: Buffer, stamp: number): FeedEvent[] {
  const events: FeedEvent[] = [];
  let at = 0;
  const take = (length: number): Buffer => payload.subarray(at, (at += length));
  const takeSerial = (): Serial => take(take(1)[0] as number).toString('hex') as Serial;
  while (at < payload.length) {
    const type = String.fromCharCode(take(1)[0] as number);
    if (type === 'r') {
      const lane: Lane | undefined = LANES[take(1)[0] as number];
      const serial = takeSerial();
      const record = take(take(2).readUInt16BE());
      const { certificate } = decodeRecord(issuer, serial, withStamp(record, stamp));
      events.push({ type: 'recorded', change: { certificate, lane } });
    } else if (type === 'a') {
      const serial = takeSerial();
      events.push({ type: 'answered', serial, revision: take(3).readUIntBE(0, 3) });
    } else if (type === 'c') events.push({ type: 'crl', record: decodeCrlRecord(take(payload.length)) });
    else if (type === 'p') events.push({ type: 'responder', der: take(payload.length) });
    else if (type === 't') {
      const retired = JSON.parse(take(payload.length).toString()) as Omit<
        FeedEvent & { type: 'responder-retired' },
        'type'
      >;
      events.push({ type: 'responder-retired', ...retired });
    } else {
      // Also what a newer version tells and this one does not understand.
      events.push({ type: 'gap' });
      break;
    }
  }
  return events;
}

function encodeEvent(event: FeedEvent): Buffer {
  if (event.type === 'recorded') {
    const { certificate, lane } = event.change;
    const serial = serialBytes(certificate.serial);
    const record = encodeRecord({ certificate, answer: undefined, due: undefined });
    if (record.length > 0xffff) return Buffer.from('g');
    const head = Buffer.from([0x72, lane === undefined ? NO_LANE : LANES.indexOf(lane), serial.length]);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(record.length);
    return Buffer.concat([head, serial, length, record]);
  }
  if (event.type === 'answered') {
    const serial = serialBytes(event.serial);
    const bytes = Buffer.alloc(5 + serial.length);
    bytes[0] = 0x61;
    bytes[1] = serial.length;
    serial.copy(bytes, 2);
    bytes.writeUIntBE(event.revision, 2 + serial.length, 3);
    return bytes;
  }
  if (event.type === 'crl') return Buffer.concat([Buffer.from('c'), encodeCrlRecord(event.record)]);
  if (event.type === 'responder') return Buffer.concat([Buffer.from('p'), event.der]);
  if (event.type === 'responder-retired') {
    const { responder, use } = event;
    return Buffer.from(`t${JSON.stringify({ responder, use })}`);
  }
  return Buffer.from('g');
}

export function encodeCrlRecord(record: CrlRecord): Buffer {
  return Buffer.from(JSON.stringify({ ...record, number: record.number.toString() }));
}

export function decodeCrlRecord(bytes: Buffer): CrlRecord {
  const record = JSON.parse(bytes.toString()) as Omit<CrlRecord, 'number'> & { number: string };
  return { ...record, number: BigInt(record.number) };
}
