/**
 * `certstatus serve`: builds the adapters, starts the flows, stops them in order.
 *
 * Start: ledger brought up to date with the journal → nothing is served before. Then the listeners, then signing.
 * Stop: not ready → listeners finish what has arrived → intake finishes → signer and CRLs finish their batch → journal → store.
 */
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { openOriginFront } from '../adapters/origin-front/listener.ts';
import { loadUws } from '../adapters/origin-front/uws.ts';
import { Exporter } from '../adapters/prometheus/exporter.ts';
import { openPublicFront } from '../adapters/public-front/listener.ts';
import type { IssuerTag } from '../core/certificate.ts';
import { Problem } from '../core/problem.ts';
import { makeAnswer } from '../flows/answer.ts';
import { registerGauges } from '../flows/gauges.ts';
import type { ServedIssuer } from '../flows/issuer-setup.ts';
import type { Log } from '../flows/log.ts';
import { flowMetrics } from '../flows/metrics.ts';
import { PublicFiles } from '../flows/public-files.ts';
import { CrlPublisher } from '../flows/publish-crl.ts';
import { ResponseTable } from '../flows/response-table.ts';
import { Signer, type SignerIssuer } from '../flows/sign.ts';
import type { Front } from '../ports/front.ts';
import { makeAdmin } from './admin/server.ts';
import { statusOf } from './admin/status.ts';
import type { Listen, Loaded } from './config.ts';
import { openCore, type Core } from './core.ts';
import { clientOf } from './intake/clients.ts';
import { makeIntake } from './intake/server.ts';
import { openSigningKeys } from './signing-keys.ts';
import { VERSION } from './version.ts';

/** How long requests that have arrived may take to be answered when the service stops. */
const GRACE_MS = 10_000;

export interface Service {
  readonly core: Core;
  readonly addresses: {
    readonly public: string;
    readonly origin: string | undefined;
    readonly intake: string | undefined;
    readonly admin: string;
  };
  stop(why: string): Promise<void>;
}

/** @throws Problem naming the file, directory or port that cannot be used; nothing is left running. */
export async function startService(loaded: Loaded, log: Log): Promise<Service> {
  const core = await openCore(loaded, log);
  /** What to undo, last first. */
  const undo: (() => Promise<unknown>)[] = [() => core.close()];
  try {
    return await start(core, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw error;
  }
}

async function start(core: Core, undo: (() => Promise<unknown>)[]): Promise<Service> {
  const { config, store, journal, clock, log } = core;
  const issuers = [...core.issuers.values()];
  const metrics = flowMetrics();
  if (core.recovered > 0)
    log.warn({ records: core.recovered }, 'the last stop was not clean: journal records were brought into the ledger');
  await journal.append([
    {
      type: 'service.started',
      actor: 'service',
      description: `certstatus ${VERSION} on Node ${process.versions.node}`,
      detail: { recovered: core.recovered, issuers: issuers.map(({ id, tag, profile }) => ({ id, tag, profile })) },
    },
  ]);

  const warn = (message: string): void => log.warn({}, message);
  const signers: SignerIssuer[] = [];
  for (const setup of core.setups) {
    const served = core.issuers.get(setup.id) as ServedIssuer;
    signers.push({ served, keys: await openSigningKeys(setup, served, warn) });
  }

  const { freshness } = core;
  const loadingGauges = core.countFreshness();
  loadingGauges.catch((error: unknown) => log.error({ err: error }, 'the published answers could not be counted'));
  const table = new ResponseTable(issuers, store, config.limits.responseTableBytes);
  const files = await PublicFiles.open(issuers, store, clock.now(), (issuer, error) =>
    log.error({ err: error, issuer: issuer.id }, 'the current CRL cannot be read'),
  );
  const signer = new Signer(signers, store, journal, clock, log, metrics.signer);
  const publishers = new Map<IssuerTag, CrlPublisher>();
  const publishersById = new Map<string, CrlPublisher>();
  for (const at of signers) {
    if (at.keys.crl === undefined) continue;
    const publisher = new CrlPublisher(at, store, journal, clock, log, metrics.crl(at.served.id));
    publishers.set(at.served.tag, publisher);
    publishersById.set(at.served.id, publisher);
  }
  const answer = makeAnswer({
    issuers,
    ocspUrls: core.urls,
    files: core.setups.flatMap(({ issuer, urls }) => [
      ...urls.crl.map((url) => ({ ...url, file: { kind: 'crl' as const, issuer: issuer.tag } })),
      ...urls.caCertificate.map((url) => ({ ...url, file: { kind: 'ca-certificate' as const, issuer: issuer.tag } })),
    ]),
    publicFiles: files,
    table,
    ask: (issuer, serial) => signer.ask(issuer, serial),
    clock,
    log,
    metrics: metrics.answer,
  });
  const sources = { issuers, store, freshness, files, table, journal, publishers, clock };
  registerGauges(metrics.set, sources);

  // Listeners before signing: an occupied port is found before anything is signed.
  let stopping = false;
  const { listen } = config;
  const fronts: Front[] = [await openPublicFront({ ...listen.public, answer })];
  undo.push(() => (fronts[0] as Front).close(0));
  const loadedUws = listen.origin && loadUws();
  if (listen.origin !== undefined && loadedUws !== undefined) {
    if (loadedUws.ok) {
      const origin = await openOriginFront({ ...listen.origin, uws: loadedUws.uws, answer });
      fronts.push(origin);
      undo.push(() => origin.close(0));
    } else
      log.warn(
        { reason: loadedUws.reason },
        'no origin listener: uWebSockets.js cannot be loaded; the public listener serves everybody',
      );
  }
  const { intake: intakeConfig } = config;
  const intake =
    intakeConfig &&
    makeIntake({
      core,
      identify: (request) => clientOf(request.raw.socket as TLSSocket, intakeConfig.clients),
      publishers: publishersById,
      tls: {
        key: readFileOr('intake.key', intakeConfig.key),
        cert: readFileOr('intake.certificate', intakeConfig.certificate),
        ca: readFileOr('intake.clientCa', intakeConfig.clientCa),
      },
    });
  let intakeAt: Listen | undefined;
  if (intake === undefined)
    log.warn({}, 'no intake: the configuration has no intake section, so events come from the local shell only');
  else {
    undo.push(() => intake.close());
    intakeAt = await listenOn(intake, 'listen.intake', listen.intake);
  }
  const admin = makeAdmin({
    exporter: new Exporter(metrics.set),
    status: () => statusOf(sources),
    // An audit log that cannot be written stops the signing, not the serving: that is the alerts' business.
    notReady: () => (stopping ? 'stopping' : undefined),
  });
  undo.push(() => admin.close());
  const adminAt = await listenOn(admin, 'listen.admin', listen.admin);

  signer.start();
  undo.push(() => signer.stop());
  for (const publisher of publishers.values()) {
    undo.push(() => publisher.stop());
    await publisher.start();
  }

  let stopped: Promise<void> | undefined;
  return {
    core,
    addresses: {
      public: addressOf((fronts[0] as Front).address),
      origin: fronts[1] && addressOf(fronts[1].address),
      intake: intakeAt && addressOf(intakeAt),
      admin: addressOf(adminAt),
    },
    stop(why) {
      stopped ??= (async () => {
        stopping = true;
        await Promise.all(fronts.map((front) => front.close(GRACE_MS)));
        await intake?.close();
        await signer.stop();
        for (const publisher of publishers.values()) await publisher.stop();
        await journal
          .append([{ type: 'service.stopped', actor: 'service', description: why }])
          .catch((error: unknown) => log.error({ err: error }, 'the stop could not be recorded'));
        await admin.close();
        await loadingGauges.catch(() => undefined);
        await core.close();
      })();
      return stopped;
    },
  };
}

/** Returns where it listens in the end: port 0 takes a free one. */
async function listenOn(app: FastifyInstance, field: string, { host, port }: Listen): Promise<Listen> {
  try {
    await app.listen({ host, port });
    return { host, port: (app.server.address() as AddressInfo).port };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'EADDRINUSE'
        ? 'the port is in use by another process'
        : code === 'EACCES'
          ? 'no permission to use this port'
          : (error as Error).message;
    throw new Problem('config', why, { field, value: `${host}:${port}` });
  }
}

function readFileOr(field: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Problem('config', (error as Error).message, { field, value: path });
  }
}

function addressOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
