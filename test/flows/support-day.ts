/**
 * Days of a service in simulated time, over real stores, journals and keys: everything that leaves a record runs as `serve` wires it, and
 * what is left is a data directory that the commands can open.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { FileKeptArchive } from '../../src/adapters/crl-archive/kept-archive.ts';
import { combineShares, splitPin } from '../../src/apps/shares.ts';
import { pem } from '../../src/core/certificate-writer.ts';
import { CLAUSES, applyClause } from '../../src/core/policy/clause.ts';
import { parseShare } from '../../src/core/share.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND, type EpochMs } from '../../src/core/time.ts';
import { ArchiveKeeper } from '../../src/flows/archive/archive-upkeep.ts';
import { ProbeBook } from '../../src/flows/monitor/probe-book.ts';
import { Reconciliations } from '../../src/flows/monitor/reconciliations.ts';
import { RevocationClock } from '../../src/flows/monitor/revocation-clock.ts';
import { SampleWatch } from '../../src/flows/monitor/sample-watch.ts';
import { Activation } from '../../src/flows/sign/activation.ts';
import type { Token, TokenState } from '../../src/ports/token.ts';
import type { Wire } from '../../src/ports/wire.ts';
import { settled } from './support-clock.ts';
import { CRL_PATH, makeIssuer, OCSP_PATH, question, serials, TestService } from './support-service.ts';

const PIN = Buffer.from('Rand-812-Vogel');
const PERSONS = ['alice', 'bob', 'carol'];
export const ISSUER = 'g4';
const TOKEN = 'hsm';

export interface DayResult {
  readonly data: string;
  readonly from: string;
  readonly to: string;
  readonly serials: readonly Serial[];
  remove(): Promise<void>;
}

export interface DayOptions {
  /** Of the simulated time. */
  readonly lengthMs?: number;
  /** From here on nothing is signed for OCSP, for so long. */
  readonly still?: { readonly afterMs: number; readonly forMs: number };
}

/** Each hour new certificates, each ground of revocation once, activation by three persons, all that the monitor does. */
export async function simulate(start: EpochMs, options: DayOptions = {}): Promise<DayResult> {
  const { lengthMs = DAY, still } = options;
  const at = makeIssuer({
    id: ISSUER,
    responders: [{ notBefore: start - 2 * DAY, notAfter: start + 100 * DAY - SECOND }],
  });
  const service = await TestService.open([at], { now: start, tableBytes: 1 << 20 });
  const { clock, journal, store } = service;
  const { served } = service;
  const log = { debug() {}, info() {}, warn() {}, error: (about: object, message: string) => void service.errors.push(message + JSON.stringify(about)) }; // prettier-ignore
  await journal.append([
    {
      type: 'service.started',
      actor: 'service',
      description: 'certstatus test on Node: certstatus (intake, signer, responder, monitor)',
      detail: { recovered: 0, issuers: [{ id: ISSUER, tag: served.tag, profile: served.profile }] },
    },
  ]);
  const activation = new Activation(
    [{ token: new CountingToken(), threshold: 3, source: 'shares' }],
    combineShares,
    journal,
    clock,
    log,
  );
  const shares = await splitPin(PIN, TOKEN, 5, 3);
  for (const [i, name] of PERSONS.entries())
    await activation.addShare(TOKEN, parseShare(shares[i] as string, 'share'), { name, actor: `${name} (client certificate ${i})` }); // prettier-ignore

  const archive = new FileKeptArchive(join(service.dir, 'crl'));
  const keeper = new ArchiveKeeper(
    { archive, copies: undefined, issuers: [served], store, journal, clock, log },
    service.metrics.set,
  );
  const book = new ProbeBook(journal, clock, log);
  const steady = { steadyMs: () => clock.now() };
  const wire = book.wire(publicWire(service), steady);
  const address = (path: string) => ({ host: 'x', port: 80, authority: 'x', path });
  const watched = [{ served, ocsp: address(OCSP_PATH), crl: () => address(CRL_PATH) }];
  const revocations = new RevocationClock({ issuers: watched, feed: store, journal, wire, clock, log, metrics: service.metrics.set }); // prettier-ignore
  service.recorder.told = (record) => revocations.noteCases(record);
  const sample = new SampleWatch({
    issuers: watched,
    ledger: store,
    wire,
    clock,
    log,
    metrics: service.metrics.set,
    share: 1,
    noted: (...sampled) => book.sampled(...sampled),
  });
  const reconciliations = new Reconciliations({ store, journal, clock, issuers: [served], log, share: 1, expected: () => undefined }); // prettier-ignore

  service.signer.start();
  await service.publisher.start();
  await keeper.start(7 * DAY);
  book.start();
  sample.start(HOUR);
  reconciliations.start(HOUR);

  let issued = 0;
  const issue = (count: number): Promise<unknown> => {
    const fresh = serials(count, issued);
    issued += count;
    const now = clock.now();
    const life = { notBefore: now, notAfter: now + 40 * DAY - SECOND };
    return service.recorder.issue(
      served,
      fresh.map((serial, i) => ({ serial, ...life, precertificate: i % 5 === 0, crlShard: undefined, withoutOcsp: false, spkiHash: undefined })), // prettier-ignore
      'test',
    );
  };
  const revoke = async (serial: Serial, clause: string): Promise<unknown> => {
    const awareAt = clock.now() - HOUR;
    const { reason, deadline } = applyClause(clause, undefined, awareAt);
    const about = {
      clause,
      awareAt: rfc3339(awareAt),
      requestedBy: 'registration authority',
      ...(deadline !== undefined && { deadline: rfc3339(deadline) }),
    };
    return service.recorder.revoke(served, [{ serial, reason, revokedAt: undefined, about }], 'test');
  };

  await issue(120);
  await clock.stride(10 * MINUTE, MINUTE);
  while (keeper.job?.state !== 'done') {
    await settled();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const clauses = CLAUSES.filter(({ withinMs }) => withinMs !== undefined);
  const until = start + lengthMs;
  let stopped = false;
  for (let hour = 1; clock.now() < until - HOUR; hour++) {
    const into = clock.now() - start;
    const quiet = still !== undefined && into >= still.afterMs && into < still.afterMs + still.forMs;
    if (quiet !== stopped) {
      if (quiet) await service.signer.stop();
      else service.signer.start();
      stopped = quiet;
    }
    if (!quiet && hour <= 20) await issue(5);
    const clause = clauses[hour - 1];
    if (!quiet && clause !== undefined) await revoke(serials(1, hour)[0] as Serial, clause.id);
    await clock.stride(HOUR, still === undefined ? MINUTE : 5 * MINUTE);
  }
  await clock.stride(Math.max(0, until - clock.now()), MINUTE);
  await reconciliations.stop();
  await revocations.stop();
  await sample.stop();
  await book.stop();
  await keeper.stop();
  await service.signer.stop();
  await service.publisher.stop();
  await activation.stop();
  await journal.append([{ type: 'service.stopped', actor: 'service', description: 'SIGTERM' }]);
  await service.recorder.close();
  await service.close();
  configure(service.dir, at.caDer, served.responders.list[0]?.certificate.der as Buffer);
  return {
    data: service.dir,
    from: rfc3339(start),
    // What the stop itself records is of the next day.
    to: rfc3339(clock.now()),
    serials: serials(issued),
    remove: () => service.remove().catch(() => undefined),
  };
}

/** As `init` and `issuer add` would have left it, with keys in a token that several persons activate. */
function configure(data: string, caDer: Buffer, responderDer: Buffer): void {
  const issuer = join(data, 'issuers', ISSUER);
  mkdirSync(issuer, { recursive: true });
  writeFileSync(join(issuer, 'ca.pem'), pem('CERTIFICATE', caDer));
  writeFileSync(join(issuer, 'responder.pem'), pem('CERTIFICATE', responderDer));
  writeFileSync(
    join(issuer, 'issuer.yaml'),
    stringify({
      preset: 'baseline',
      caCertificates: ['ca.pem'],
      responders: [{ certificate: 'responder.pem', key: `pkcs11:token=${TOKEN};object=ocsp-2026` }],
      crl: { key: `pkcs11:token=${TOKEN};object=ca` },
      urls: { ocsp: [{ path: OCSP_PATH }], crl: [{ path: CRL_PATH }] },
      everyCertificateNamesOcsp: true,
    }),
  );
  const client = (name: string, may: readonly string[]) => ({ name, issuers: ['*'], may });
  writeFileSync(
    join(data, 'certstatus.yaml'),
    stringify({
      tokens: [
        { name: TOKEN, module: '/usr/lib/hsm.so', label: 'hsm', activation: { source: 'shares', threshold: 3 } },
      ],
      intake: {
        certificate: 'intake.pem',
        key: 'intake.key',
        clientCa: 'ca.pem',
        clients: [client('ra', ['issue', 'revoke', 'read']), ...PERSONS.map((name) => client(name, ['activate']))],
      },
    }),
  );
}

/** The service's own answers, over a wire without a network. */
function publicWire(service: TestService): Wire {
  return {
    async exchange({ octets }) {
      const text = Buffer.from(octets).toString('latin1');
      const [method = '', target = ''] = text.split(' ');
      const ifNoneMatch = /^If-None-Match: (.*)$/m.exec(text)?.[1]?.trim();
      const asked = question(target, { ifNoneMatch, method: method as 'GET' });
      const { status, headers, body } = await service.answer(asked);
      const sent = status === 304 || method === 'HEAD' ? Buffer.alloc(0) : body;
      return { octets: Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${headers}\r\n`), sent]), closed: true };
    },
  };
}

class CountingToken implements Token {
  readonly name = TOKEN;
  readonly describe = 'test token';
  state: TokenState = 'inactive';
  failure: string | undefined = 'not activated';

  activate(): Promise<void> {
    this.state = 'active';
    this.failure = undefined;
    return Promise.resolve();
  }

  deactivate(): Promise<void> {
    this.state = 'inactive';
    return Promise.resolve();
  }

  onChange(): void {}

  keys(): Promise<readonly never[]> {
    return Promise.resolve([]);
  }

  generate(): Promise<never> {
    return Promise.reject(new Error('no keys are made here'));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
