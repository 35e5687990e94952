/**
 * The drill: a backup is taken, checked, put into an empty directory and served from there, without keys and beside the running service,
 * and random certificates are asked for over HTTP. What it took is the recovery time of the service (SR-5.7.1-d), and how long the
 * restored answers last is how long the keys may stay away.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tcpWire } from '../../adapters/probe-client/wire.ts';
import { systemClock } from '../../adapters/system/clock.ts';
import type { Manifest } from '../../core/backup/manifest.ts';
import { DAY, MINUTE, rfc3339, SECOND, wholeSecond } from '../../core/time.ts';
import { Downloads } from '../../flows/serve/downloads.ts';
import { LiveElsewhere } from '../../flows/serve/live-elsewhere.ts';
import { PublicFiles } from '../../flows/serve/public-files.ts';
import { servedUntil } from '../../flows/gauges.ts';
import type { Log } from '../../flows/log.ts';
import { flowMetrics } from '../../flows/metrics.ts';
import { drawSample } from '../../flows/monitor/draw-sample.ts';
import { ServedSample } from '../../flows/monitor/served-sample.ts';
import { Pace } from '../../flows/pace.ts';
import { ResponderNews } from '../../flows/sign/responder-news.ts';
import type { Api } from '../api.ts';
import { loadConfig, type Loaded } from '../config.ts';
import { openCore, type Core } from '../core.ts';
import type { ProgressLine } from '../progress.ts';
import { openResponder } from '../roles/responder.ts';
import { ownAddress, watchedIssuers } from '../roles/monitor.ts';
import { checkBackup, restoreBackup, takeBackup } from './take.ts';

export interface DrillReport {
  readonly verdict: 'passed' | 'failed';
  readonly at: string;
  readonly version: string;
  readonly manifest: Pick<Manifest, 'takenAt' | 'journal' | 'store' | 'leftOut'> & {
    readonly sha256: string;
    readonly files: number;
    readonly octets: number;
  };
  /** Seconds. */
  readonly took: {
    readonly backup: number | undefined;
    readonly check: number;
    readonly restore: number;
    readonly serving: number;
  };
  readonly issuers: readonly {
    readonly id: string;
    readonly fingerprints: readonly string[];
    readonly certificates: number;
    readonly asked: number;
    readonly right: number;
    /** Recorded shortly before the backup, and not yet in OCSP or on the CRL. */
    readonly pending: number;
    readonly crl: string | undefined;
    /** When the first restored answer or CRL runs out, should no key come back. */
    readonly lasts: string | undefined;
  }[];
  readonly findings: readonly string[];
}

const MOST_FINDINGS = 20;
/** What was recorded so shortly before the backup may not be in OCSP and on the CRL yet (CT-4.9.10-e); nobody is told good of it. */
const PENDING_MS = 15 * MINUTE;

/** Of OCSP: never, however new the revocation is (P2). A CRL of before says it of everything that came after it. */
const SAYS_GOOD = /^T-59: OCSP \S+ says good/;

/** @param from a backup that is there already; undefined: one is taken, and removed. @throws Problem */
export async function drillRestore(
  loaded: Loaded,
  api: Api | undefined,
  from: string | undefined,
  sample: number,
  log: Log,
  progress: ProgressLine,
): Promise<DrillReport> {
  const scratch = mkdtempSync(join(tmpdir(), 'certstatus-drill-'));
  const now = (): number => systemClock.now();
  try {
    const begun = now();
    const backup = from ?? join(scratch, 'backup');
    if (from === undefined) await takeBackup(loaded.config, api, backup, begun, progress);
    const taken = now();
    const { manifest, sha256, octets, problems } = await checkBackup(backup, progress);
    const checked = now();
    const findings = [...problems];
    const dataDir = join(scratch, 'data');
    let served: Served = { issuers: [], findings: ['it was not restored, because it is damaged'], servingAt: now() };
    let restored = now();
    if (problems.length === 0) {
      await restoreBackup(backup, dataDir, progress);
      restored = now();
      served = await serveRestored(dataDir, Date.parse(manifest.takenAt), sample, log);
    }
    findings.push(...served.findings);
    return {
      verdict: findings.length === 0 ? 'passed' : 'failed',
      at: rfc3339(wholeSecond(now())),
      version: manifest.version,
      manifest: {
        takenAt: manifest.takenAt,
        journal: manifest.journal,
        store: manifest.store,
        leftOut: manifest.leftOut,
        sha256,
        files: manifest.files.length,
        octets,
      },
      took: {
        backup: from === undefined ? (taken - begun) / SECOND : undefined,
        check: (checked - taken) / SECOND,
        restore: (restored - checked) / SECOND,
        serving: (served.servingAt - restored) / SECOND,
      },
      issuers: served.issuers,
      findings: findings.slice(0, MOST_FINDINGS),
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

interface Served {
  readonly issuers: DrillReport['issuers'];
  readonly findings: readonly string[];
  /** When the listener was open. */
  readonly servingAt: number;
}

/** As a responder alone: nothing is signed, no CRL is made, and no port of the service is touched. */
async function serveRestored(dataDir: string, takenAt: number, sample: number, log: Log): Promise<Served> {
  const loaded = loadConfig({
    configFile: join(dataDir, 'certstatus.yaml'),
    env: {},
    overrides: { dataDir, publicPort: 0, originPort: 0, intakePort: 0, adminPort: 0 },
    nowMs: systemClock.now(),
  });
  const core = await openCore(loaded, log);
  try {
    const issuers = [...core.issuers.values()];
    await core.countFreshness();
    const metrics = flowMetrics();
    const news = new ResponderNews(issuers, core.store, core.clock, log);
    await news.readShelves();
    const downloads = new Downloads(core.clock, setImmediate);
    const files = await PublicFiles.open(issuers, core.store, core.clock.now(), () => undefined, downloads);
    const live = new LiveElsewhere(issuers, core.store, core.clock, log);
    const responder = openResponder(core, files, news, () => undefined, live, metrics);
    responder.misses.start();
    const { fronts } = await responder.listen({
      public: { host: '127.0.0.1', port: 0, handle: undefined },
      origin: undefined,
    });
    const servingAt = systemClock.now();
    try {
      const [front] = fronts;
      if (front === undefined) return { issuers: [], findings: ['there is no listener'], servingAt };
      return { ...(await askFor(core, files, ownAddress(front.address), takenAt, sample)), servingAt };
    } finally {
      await Promise.all(fronts.map((front) => front.close(0)));
      responder.misses.stop();
    }
  } finally {
    await core.close();
  }
}

async function askFor(
  core: Core,
  files: PublicFiles,
  at: { readonly host: string; readonly port: number },
  takenAt: number,
  sample: number,
): Promise<Omit<Served, 'servingAt'>> {
  const findings: string[] = [];
  const issuers: DrillReport['issuers'][number][] = [];
  const nowMs = core.clock.now();
  for (const watched of watchedIssuers(core, at)) {
    const { served } = watched;
    const { population, certificates } = await drawSample(
      core.store,
      served,
      { seed: rfc3339(wholeSecond(nowMs)), from: -Infinity, to: Infinity, percent: Number.MIN_VALUE, minimum: sample },
      nowMs,
      new Pace(core.clock, 1),
    );
    const looked = new ServedSample(watched, certificates.map(({ serial }) => serial), tcpWire, core.clock); // prettier-ignore
    let right = 0;
    let pending = 0;
    let crl: string | undefined;
    for (const { serial, crlShard, revocation, recordedAt } of certificates) {
      const verdict = await looked.check({
        serial,
        crlShard,
        revokedAt: revocation?.revokedAt,
        reason: revocation?.reason,
      });
      crl ??= verdict.crl && `number ${verdict.crl.number} of ${verdict.crl.thisUpdate}`;
      if (verdict.findings.length === 0) right += 1;
      else if (recordedAt > takenAt - PENDING_MS && !verdict.findings.some((line) => SAYS_GOOD.test(line)))
        pending += 1;
      else findings.push(`${served.id} ${serial}: ${verdict.findings.join('; ')}`);
    }
    const lasts = servedUntil([served], core.freshness, files);
    issuers.push({
      id: served.id,
      fingerprints: served.issuer.certificates.map(({ fingerprint }) => fingerprint),
      certificates: population,
      asked: certificates.length,
      right,
      pending,
      crl,
      lasts: lasts === undefined ? undefined : `${rfc3339(lasts)}, ${((lasts - nowMs) / DAY).toFixed(1)} days`,
    });
  }
  return { issuers, findings };
}
