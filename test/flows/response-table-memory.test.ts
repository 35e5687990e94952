/** What the table counts must be what its answers take: by that bound operators set the memory of a process (limits.responseTableBytes). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { serialFromHex } from '../../src/core/serial.ts';
import { DAY, SECOND } from '../../src/core/time.ts';
import { ResponseTable } from '../../src/flows/serve/response-table.ts';
import type { Lookup } from '../../src/ports/store.ts';
import { makeIssuer, RESPONDER_SPAN, START } from './support-service.ts';

const ANSWERS = 20_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function taken(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

it('takes no more memory than it counts, and a little more than twice of what goes over the wire', async () => {
  const { served } = makeIssuer({ responders: [RESPONDER_SPAN] });
  const [responder] = served.responders.list;
  assert.ok(responder);
  const lookup = (_: unknown, serial: string): Promise<Lookup> => {
    const key = { issuer: served.tag, serial: serialFromHex(serial), revision: 1, revocation: undefined };
    const [thisUpdate, nextUpdate] = [START, START + 4 * DAY - SECOND];
    const signatures = { sha1: new Uint8Array(70), sha256: new Uint8Array(70) };
    const times = { thisUpdate, nextUpdate, refreshAt: START + DAY, publishedAt: START };
    const response = { ...key, ...times, responder: responder.certificate.id, signatures };
    const recorded = { recordedAt: START, recordedSeq: 1, notBefore: START, notAfter: START + 90 * DAY };
    const rest = { precertificate: false, crlShard: undefined, withoutOcsp: false, spkiHash: undefined };
    return Promise.resolve({ kind: 'published', certificate: { ...key, ...recorded, ...rest }, response });
  };
  const store = { lookup, follow: () => undefined, silentMs: () => 0, failure: undefined, mustVouch: false };
  const table = new ResponseTable([served], store as never, 1 << 30);
  const ask = async (i: number): Promise<number> => {
    const serial = serialFromHex(`7f${i.toString(16).padStart(30, '0')}`);
    const loaded = await table.load('sha1', served.tag, serial, START);
    assert.ok(loaded.kind === 'entry');
    const entry = table.get('sha1', served.tag, serial, START);
    assert.ok(entry);
    // As asked about by GET, on both listeners, kept and not.
    table.keepSpelling(`/ocsp/${i.toString(36).padStart(160, 'A')}`, entry);
    const date = { second: 1, octets: Buffer.alloc(29) };
    entry.image(true, date);
    void entry.fields;
    return entry.image(false, date).length;
  };
  // What is compiled and cached along the way is none of the answers.
  for (let i = 0; i < 2000; i++) await ask(i);
  const [before, countedBefore] = [taken(), table.bytes];
  let onTheWire = 0;
  for (let i = 2000; i < 2000 + ANSWERS; i++) onTheWire += await ask(i);
  const [each, counted] = [(taken() - before) / ANSWERS, (table.bytes - countedBefore) / ANSWERS];
  const said = `${Math.round(each)} octets each, ${Math.round(counted)} counted`;
  assert.ok(each <= counted, said);
  assert.ok(each > counted / 2, said);
  assert.ok(each < 2.4 * (onTheWire / ANSWERS), said);
});
