import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { SampleWatch } from '../../src/flows/monitor/sample-watch.ts';
import type { Wire } from '../../src/ports/wire.ts';
import { CRL_PATH, OCSP_PATH, question, serials, TestService } from './support-service.ts';

let service: TestService;
let watch: SampleWatch;
afterEach(async () => {
  await watch.stop();
  await service.remove();
});

/** @param crlPath what is served at the URL of the CRL. */
async function watching(crlPath: string): Promise<{ readonly errors: string[]; readonly asked: string[] }> {
  const errors: string[] = [];
  const asked: string[] = [];
  const wire: Wire = {
    async exchange({ octets }) {
      const target = Buffer.from(octets).toString('latin1').split(' ')[1] as string;
      asked.push(target);
      const { status, headers, body } = await service.answer(question(target === CRL_PATH ? crlPath : target));
      return { octets: Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${headers}\r\n`), body]), closed: true };
    },
  };
  service = await TestService.open();
  const at = (path: string) => ({ host: 'x', port: 80, authority: 'x', path });
  watch = new SampleWatch({
    issuers: [{ served: service.served, ocsp: at(OCSP_PATH), crl: () => at(CRL_PATH) }],
    ledger: service.store,
    wire,
    clock: service.clock,
    log: { debug() {}, info() {}, warn() {}, error: (about) => void errors.push(JSON.stringify(about)) },
    metrics: service.metrics.set,
    share: 1,
  });
  await service.issue(serials(30));
  service.signer.start();
  await service.publisher.start();
  await service.clock.advance(SECOND);
  await service.revoke(serials(15), 'superseded');
  await service.clock.stride(HOUR, MINUTE);
  watch.start(HOUR);
  await service.clock.stride(HOUR + 20 * MINUTE, 10 * SECOND);
  return { errors, asked };
}

function wrong(): number {
  for (const metric of service.metrics.set)
    if (metric.kind === 'gauge' && metric.name === 'certstatus_sample_wrong') return [...metric.read()][0]?.[1] ?? NaN;
  return NaN;
}

describe('a random sample of what is served', () => {
  it('finds nothing where all is well, and asks no more than a client', async () => {
    const { errors, asked } = await watching(CRL_PATH);
    assert.deepEqual(errors, []);
    assert.equal(wrong(), 0);
    assert.equal(asked.filter((target) => target === CRL_PATH).length, 1);
    assert.equal(asked.length, 41, 'twenty certificates, two hashes, one CRL');
  });

  it('names each certificate when its CRL cannot be got', async () => {
    const { errors } = await watching('/nothing-here');
    assert.equal(wrong(), 20);
    assert.equal(errors.length, 20);
    assert.match(errors[0] ?? '', /B-14: HTTP status 404/);
  });
});
