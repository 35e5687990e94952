/**
 * `node dist/bench/mass.js [--certificates 100000] [--keys software-P-256,SoftHSM2-P-256,SoftHSM2-RSA-2048]`: a mass revocation of
 * every certificate, in one process over the embedded store on this machine's disk. Prints a Markdown table.
 *
 * The raw rate is the same key holder's, with nothing else to do: calls of 512 structures of 250 octets, two under way, before and
 * after; given is their mean. The certificates have answers before it begins. Meanwhile single certificates that are not on the list
 * are revoked, one every quarter of a second, and timed from the acknowledgement to the published answer. "of raw" is (signatures /
 * raw rate) / time until the last answer: 0.91 is the goal of 1.1 × (count / raw rate). CPU is of this process and the token's host.
 * paced-P-256 is a software key that takes a millisecond per signature, one after the other: an HSM whose work costs this machine
 * nothing, so that what is seen is whether it ever waits.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { FileCrlArchive } from '../src/adapters/crl-archive/file-archive.ts';
import { EmbeddedStore } from '../src/adapters/embedded/store.ts';
import { FileJournal } from '../src/adapters/journal/file-journal.ts';
import { FileMassShelf } from '../src/adapters/mass-files/shelf.ts';
import { openToken } from '../src/adapters/pkcs11/token.ts';
import { openSoftwareKey } from '../src/adapters/software-key/key-holder.ts';
import { systemClock } from '../src/adapters/system/clock.ts';
import { COMPLETE_ONLY } from '../src/core/crl/shards.ts';
import { loadIssuer } from '../src/core/issuer.ts';
import { EVERY_CERTIFICATE } from '../src/core/mass/order.ts';
import { loadResponderCertificate } from '../src/core/responder-certificate.ts';
import { type Serial, serialFromHex } from '../src/core/serial.ts';
import { algorithmFor } from '../src/core/signature-algorithm.ts';
import { DAY, SECOND } from '../src/core/time.ts';
import { FreshnessGauges } from '../src/flows/freshness-gauges.ts';
import { IssuerCrls } from '../src/flows/crl/issuer-crls.ts';
import { MassRevocations } from '../src/flows/mass/mass-revocation.ts';
import { flowMetrics } from '../src/flows/metrics.ts';
import { MassPlanner } from '../src/flows/mass/plan-mass.ts';
import { Recorder } from '../src/flows/record.ts';
import { Responders, servedResponder } from '../src/flows/responders.ts';
import { Signer } from '../src/flows/sign/sign.ts';
import type { KeyHolder } from '../src/ports/key-holder.ts';
import { CA_NAME, caCertificate, ecKey, type KeyPair, PROFILE, responderCertificate, rsaKey } from '../test/core/sample-pki.ts'; // prettier-ignore
import { missingSofthsm, softToken } from '../test/support/softhsm.ts';

const KEYS = ['paced-P-256', 'software-P-256', 'SoftHSM2-P-256', 'SoftHSM2-RSA-2048'] as const;
type KeyName = (typeof KEYS)[number];
const PIN = '123456';
const SESSIONS = 2;
const RAW_MS = 3000;
/** Not on the list: revoked one by one meanwhile. */
const SINGLES = 2000;
const SINGLE_EVERY_MS = 250;
const IMPORT_BATCH = 1000;

const { values } = parseArgs({
  options: {
    certificates: { type: 'string', default: '100000' },
    keys: { type: 'string', default: KEYS.join(',') },
  },
});
const certificates = Number(values.certificates);
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const log = { ...quiet, error: (about: object, message: string) => process.stderr.write(`${message} ${JSON.stringify(about)}\n`) }; // prettier-ignore

say(
  `${cpus()[0]?.model}, ${cpus().length} CPUs; Node ${process.version}; ${certificates.toLocaleString('en')} certificates.\n`,
);
say('| key | raw signatures/s | refreshed before, certificates/s | recorded in | in OCSP in | of raw | key without work | on the CRL in | CPU per certificate | single revocations: p50, p99, worst | RSS |'); // prettier-ignore
say('|---|---|---|---|---|---|---|---|---|---|---|');
for (const name of KEYS) if (values.keys.split(',').includes(name)) await measure(name);

async function measure(name: KeyName): Promise<void> {
  if (name.startsWith('SoftHSM2') && missingSofthsm !== false) return say(`| ${name} | ${missingSofthsm} |`);
  const dir = mkdtempSync(join(tmpdir(), 'certstatus-mass-'));
  const pair = name.endsWith('RSA-2048') ? rsaKey() : ecKey();
  const key = await holderOf(name, pair, dir);
  try {
    say(await run(name, pair, metered(key.holder), key.host, dir));
  } finally {
    await key.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function run(
  name: KeyName,
  pair: KeyPair,
  { holder, idleMs }: ReturnType<typeof metered>,
  host: () => number | undefined,
  dir: string,
): Promise<string> {
  const now = Date.now();
  const ca = ecKey();
  const span = { notBefore: now - DAY, notAfter: now + 89 * DAY };
  const issuer = loadIssuer([caCertificate(ca, { subjectDer: CA_NAME, issuerDer: CA_NAME })], 'bench');
  const certificate = loadResponderCertificate(responderCertificate(ca, pair, { ...span, issuerDer: CA_NAME }));
  const caFile = join(dir, 'ca.key');
  writeFileSync(caFile, ca.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  const served = {
    id: 'bench',
    tag: issuer.tag,
    issuer,
    profile: { ...PROFILE, crl: { ...PROFILE.crl, coalesceMs: 2 * SECOND } },
    crls: COMPLETE_ONLY,
    responders: new Responders([servedResponder(issuer, certificate)]),
  };
  const at = {
    served,
    keys: {
      ocsp: new Map([[certificate.id, { holder, publicKey: certificate.publicKey }]]),
      crl: { holder: await openSoftwareKey(caFile), publicKey: issuer.publicKey },
    },
  };
  const store = await EmbeddedStore.open(dir, new FileCrlArchive(join(dir, 'crl')));
  const journal = await FileJournal.open(join(dir, 'audit'), systemClock);
  const recorder = new Recorder(store, journal, systemClock);
  await recorder.recover();
  const metrics = flowMetrics();
  const freshness = new FreshnessGauges(store);
  await freshness.load();
  const signer = new Signer([at], store, journal, systemClock, log, metrics.signer);
  const crls = new IssuerCrls(at, store, journal, systemClock, log, metrics.crl('bench'));
  const shelf = new FileMassShelf(join(dir, 'mass'));
  const runs = new MassRevocations({ issuers: new Map([[served.tag, served]]), shelf, store, recorder, journal, clock: systemClock, log }); // prettier-ignore
  const planner = new MassPlanner({ shelf, store, freshness, journal, clock: systemClock, measure: undefined });
  const singleAnswers = new Map<Serial, () => void>();
  store.follow((event) => {
    if (event.type === 'published' && event.response.revocation !== undefined)
      singleAnswers.get(event.response.serial)?.();
  });

  const spare = Array.from({ length: SINGLES }, (_, i) => serialOf(-1 - i));
  const all = Array.from({ length: certificates }, (_, i) => serialOf(i));
  for (const list of [spare, all]) {
    for (let i = 0; i < list.length; i += IMPORT_BATCH) {
      const rows = list.slice(i, i + IMPORT_BATCH).map((serial, line) => ({
        line,
        serial,
        notBefore: now - DAY,
        notAfter: now + 60 * DAY,
        precertificate: false,
        crlShard: undefined,
        crlUrls: [],
        isCa: false,
        withoutOcsp: false,
        spkiHash: undefined,
        revocation: undefined,
      }));
      await recorder.import(served, rows, 'bench', 'bench');
    }
    // Those that are listed are what the second list recorded.
    if (list === spare) await sleep(1100);
  }
  const recordedFrom = (await store.find(served.tag, [all[0] as Serial]))[0]?.recordedAt as number;
  const before = await rawRate(holder);
  const signedFrom = performance.now();
  signer.start();
  while (store.backlog('refresh', Date.now()) > 0 || freshness.of(served.tag).count < certificates) await sleep(50);
  const refreshed = (1000 * (certificates + SINGLES)) / (performance.now() - signedFrom);
  await crls.start();
  await runs.start();
  const planning = planner.begin(
    {
      issuers: [served],
      criteria: { ...EVERY_CERTIFICATE, recorded: { from: recordedFrom, to: undefined } },
      list: undefined,
      order: { reason: 'superseded', clause: '4.9.1.1-12', awareAt: now, revokedAt: undefined, suspected: false, requestedBy: undefined }, // prettier-ignore
      measureMs: undefined,
    },
    'bench',
  );
  while (!planning.done) await sleep(20);
  if (planning.failure !== undefined) throw planning.failure;
  if ((await shelf.plan(planning.id))?.counts.selected !== certificates) throw new Error('not all are in the plan');

  const cpuFrom = cpuSeconds([process.pid, host()]);
  const startedAt = Date.now();
  const idleFrom = idleMs();
  await runs.begin(planning.id, undefined, 'bench');
  const latencies: number[] = [];
  let residentBytes = 0;
  const waiting = new Set<Promise<void>>();
  let idle: number | undefined;
  while (runs.active !== undefined) {
    if (runs.active.run.state === 'signing' && store.backlog('mass', Infinity) === 0) idle ??= idleMs() - idleFrom;
    const serial = spare.pop();
    if (serial !== undefined) {
      const one = (async () => {
        const visible = new Promise<void>((resolve) => singleAnswers.set(serial, resolve));
        await recorder.revoke(served, [{ serial, reason: 'superseded', revokedAt: undefined }], 'bench');
        const acknowledged = performance.now();
        await visible;
        latencies.push(performance.now() - acknowledged);
      })().then(() => void waiting.delete(one));
      waiting.add(one);
    }
    residentBytes = Math.max(residentBytes, process.memoryUsage.rss());
    await sleep(SINGLE_EVERY_MS);
  }
  await Promise.all(waiting);
  const cpu = cpuSeconds([process.pid, host()]) - cpuFrom;
  const view = await runs.view(planning.id);
  if (view?.run.counts.revoked !== certificates) throw new Error(`only ${view?.run.counts.revoked} were revoked`);
  await signer.stop();
  await crls.stop();
  await runs.stop();
  const raw = (before + (await rawRate(holder))) / 2;
  await journal.close();
  await store.close();
  // The run looks once a second: what it says is up to a second more than it took.
  const seconds = (at: number | undefined): number => ((at ?? NaN) - startedAt) / SECOND;
  const ocsp = seconds(view.run.ocspAt);
  const sorted = latencies.sort((a, b) => a - b);
  const place = (share: number): string => `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN)} ms`; // prettier-ignore
  return `| ${name} | ${Math.round(raw).toLocaleString('en')} | ${Math.round(refreshed).toLocaleString('en')} | ${seconds(view.run.recordedAt).toFixed(1)} s | ${ocsp.toFixed(1)} s | ${((2 * certificates) / raw / ocsp).toFixed(2)} | ${((100 * (idle ?? NaN)) / (1000 * ocsp)).toFixed(0)} % | ${seconds(view.run.crlAt).toFixed(1)} s | ${((1e6 * cpu) / certificates).toFixed(0)} µs | ${place(0.5)}, ${place(0.99)}, ${place(1)} (${sorted.length}) | ${Math.round(residentBytes / 2 ** 20)} MiB |`;
}

async function holderOf(
  name: KeyName,
  pair: KeyPair,
  dir: string,
): Promise<{ holder: KeyHolder; host: () => number | undefined; close: () => Promise<void> }> {
  if (!name.startsWith('SoftHSM2')) {
    const file = join(dir, 'responder.key');
    writeFileSync(file, pair.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
    const holder = await openSoftwareKey(file);
    return {
      holder: name === 'paced-P-256' ? paced(holder) : holder,
      host: () => undefined,
      close: () => holder.close(),
    };
  }
  const device = softToken({ label: 'bench', pin: PIN });
  device.importKey(pair.privateKey, 'bench', '01');
  const { module, label, env } = device;
  const token = openToken({ name: 'bench', module, label, sessions: SESSIONS, use: 'held', env });
  const holder = token.key({ id: '01' }, pair.publicKey, algorithmFor(pair.publicKey, name));
  await token.activate(Buffer.from(PIN));
  return {
    holder,
    host: () => token.hostPid,
    close: async () => {
      await token.close();
      device.remove();
    },
  };
}

/** How long no call was under way. */
function metered(real: KeyHolder): { readonly holder: KeyHolder; idleMs(): number } {
  let underWay = 0;
  let idle = 0;
  let since = performance.now();
  const holder: KeyHolder = Object.create(real, {
    sign: {
      value: async (...given: Parameters<KeyHolder['sign']>) => {
        if (underWay === 0) idle += performance.now() - since;
        underWay += 1;
        try {
          return await real.sign(...given);
        } finally {
          underWay -= 1;
          if (underWay === 0) since = performance.now();
        }
      },
    },
    failure: { get: () => real.failure },
  }) as KeyHolder;
  return { holder, idleMs: () => idle + (underWay === 0 ? performance.now() - since : 0) };
}

/** Calls are done in their order, urgent ones first, each when its last signature would be. */
function paced(real: KeyHolder): KeyHolder {
  const waiting: { readonly urgent: boolean; readonly begin: () => void }[] = [];
  let busy = false;
  const next = (): void => {
    const first = Math.max(0, waiting.findIndex(({ urgent }) => urgent)); // prettier-ignore
    const [one] = waiting.splice(first, 1);
    busy = one !== undefined;
    one?.begin();
  };
  return {
    ...real,
    algorithm: real.algorithm,
    publicKey: real.publicKey,
    describe: real.describe,
    failure: undefined,
    begin: () => real.begin(),
    close: () => real.close(),
    async sign(tbs, priority) {
      await new Promise<void>((begin) => {
        waiting.push({ urgent: priority === 'urgent', begin });
        if (!busy) next();
      });
      const from = performance.now();
      const results = await real.sign(tbs, priority);
      const left = tbs.length - (performance.now() - from);
      if (left > 1) await sleep(left);
      next();
      return results;
    },
  };
}

/** Signatures a second. */
async function rawRate(holder: KeyHolder): Promise<number> {
  const structures = Array.from({ length: 512 }, (_, i) => Buffer.alloc(250, i));
  const from = performance.now();
  let signatures = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() - from < RAW_MS) signatures += (await holder.sign(structures, 'bulk')).length;
  };
  await Promise.all([caller(), caller()]);
  return (1000 * signatures) / (performance.now() - from);
}

function serialOf(index: number): Serial {
  return serialFromHex(`41${createHash('sha256').update(String(index)).digest('hex').slice(0, 30)}`);
}

/** User and system time, of the processes with all their threads. */
function cpuSeconds(pids: readonly (number | undefined)[]): number {
  const ticks = Number(execFileSync('getconf', ['CLK_TCK']).toString());
  return pids.reduce<number>((sum, pid) => {
    if (pid === undefined) return sum;
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    return sum + (Number(fields[11]) + Number(fields[12])) / ticks;
  }, 0);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
