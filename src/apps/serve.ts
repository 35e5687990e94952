/**
 * `certstatus serve`: the roles of this process, started and stopped in order.
 *
 * Start: an embedded ledger is brought up to date with the journal → nothing is served before. Then the listeners, then signing.
 * Stop: not ready → each reply is the last of its connection, for responder.drain → listeners finish what has arrived → intake finishes → signer and CRLs finish their batch → journal → store.
 */
import type { FastifyInstance } from 'fastify';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { tcpWire } from '../adapters/probe-client/wire.ts';
import { Exporter } from '../adapters/prometheus/exporter.ts';
import type { IssuerTag } from '../core/certificate.ts';
import { Problem } from '../core/problem.ts';
import type { Serial } from '../core/serial.ts';
import { rfc3339, SECOND, wholeSecond } from '../core/time.ts';
import { AskElsewhere } from '../flows/serve/ask-elsewhere.ts';
import { registerForecastGauges } from '../flows/crl/crl-forecast.ts';
import { registerUrlGauges } from '../flows/crl/crl-urls.ts';
import { Downloads } from '../flows/serve/downloads.ts';
import { registerGauges, servedUntil, type GaugeSources } from '../flows/gauges.ts';
import type { UsedToken } from '../flows/sign/signing-gauges.ts';
import { registerStoreGauges } from '../flows/host-gauges.ts';
import type { ServedIssuer } from '../flows/issuer-setup.ts';
import { LedgerKeeper } from '../flows/keep-ledger.ts';
import { registerRevocationDeadlines } from '../flows/monitor/revocation-deadline.ts';
import { registerProcessGauges } from '../flows/serve/serving-gauges.ts';
import { LiveElsewhere } from '../flows/serve/live-elsewhere.ts';
import type { Log } from '../flows/log.ts';
import { registerMassGauges } from '../flows/mass/mass-gauges.ts';
import { flowMetrics } from '../flows/metrics.ts';
import { OfflineWatch, registerOfflineGauges } from '../flows/offline/offline-watch.ts';
import { PublicFiles } from '../flows/serve/public-files.ts';
import { Reconciliations } from '../flows/monitor/reconciliations.ts';
import type { Recorder } from '../flows/record.ts';
import { ProbeBook } from '../flows/monitor/probe-book.ts';
import { ResponderNews } from '../flows/sign/responder-news.ts';
import { SelfProbe } from '../flows/monitor/self-probe.ts';
import type { Front } from '../ports/front.ts';
import { Acting } from './admin/acting.ts';
import { openLocalSecret } from './admin/local-secret.ts';
import { renewable } from './private-port.ts';
import { makeAdmin } from './admin/server.ts';
import { statusPage } from './admin/page.ts';
import { StatusWatch } from './admin/watch.ts';
import { openArchiveKeeper } from './archive-keeping.ts';
import type { Loaded } from './config.ts';
import type { Listen } from './listen-config.ts';
import { openCore, type Core } from './core.ts';
import { auditDir } from './data-directory.ts';
import { clientOf } from './intake/clients.ts';
import { makeIntake, type IntakeParts } from './intake/server.ts';
import type { IssuerSetup } from './issuer-files.ts';
import { fittingBounds, openFilesLimit } from './open-files.ts';
import { openMass } from './mass.ts';
import { openResponderProcesses, type ResponderProcesses } from './processes/responders.ts';
import { Renewal } from './renewal.ts';
import { openMonitor, type MonitorRole } from './roles/monitor.ts';
import { connectionsOf, openResponder } from './roles/responder.ts';
import { openSigner, type SignerRole } from './roles/signer.ts';
import { activateAtStart, sayInactive } from './start-activation.ts';
import { openClockWatch, openHostGauges } from './start-watches.ts';
import { VERSION } from './version.ts';

/** How long requests that have arrived may take to be answered when the service stops. */
const GRACE_MS = 10_000;
const CHECKPOINT_MS = 10_000;

export interface Service {
  readonly core: Core;
  /** Where each listener is; undefined where this process has none. */
  readonly addresses: {
    readonly public: string | undefined;
    readonly origin: string | undefined;
    readonly intake: string | undefined;
    readonly admin: string;
  };
  /** Takes over what can be without a restart (renewal.ts). Never throws. @param load reads the configuration anew. */
  reload(load: () => Loaded): void;
  stop(why: string): Promise<void>;
}

/** @throws Problem naming the file, directory or port that cannot be used; nothing is left running. */
export async function startService(loaded: Loaded, log: Log): Promise<Service> {
  const core = await openCore(loaded, log);
  /** What to undo, last first. */
  const undo: (() => Promise<unknown>)[] = [() => core.close()];
  try {
    return await start(loaded, core, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw error;
  }
}

async function start(loaded: Loaded, core: Core, undo: (() => Promise<unknown>)[]): Promise<Service> {
  const { config, store, journal, recorder, clock, log } = core;
  // Before anything is recorded or served: a start with a key of another certificate ends here.
  const renewal = new Renewal({ loaded, clock, log, journal });
  const { roles } = config;
  const startedAt = rfc3339(wholeSecond(clock.now()));
  const issuers = [...core.issuers.values()];
  const metrics = flowMetrics();
  if (core.recovered > 0)
    log.warn({ records: core.recovered }, 'the last stop was not clean: journal records were brought into the ledger');
  await journal?.append([
    {
      type: 'service.started',
      actor: 'service',
      description: `certstatus ${VERSION} on Node ${process.versions.node}: ${config.name} (${[...roles].join(', ')})`,
      detail: { recovered: core.recovered, issuers: issuers.map(({ id, tag, profile }) => ({ id, tag, profile })) },
    },
  ]);

  const keeper =
    recorder === undefined || config.store.kind === 'embedded'
      ? undefined
      : new LedgerKeeper(recorder, store, clock, log);
  const clocks = openClockWatch(core, metrics.set);
  undo.push(async () => clocks.stop());
  const signing =
    roles.has('signer') && journal !== undefined ? await openSigner(core, journal, metrics, clocks) : undefined;
  undo.push(async () => signing?.stop());
  const mass = openMass(core, signing?.issuers);
  undo.push(async () => mass?.stop());
  const loadingGauges = core.countFreshness();
  loadingGauges.catch((error: unknown) => log.error({ err: error }, 'the published answers could not be counted'));
  const news = new ResponderNews(issuers, store, clock, log);
  await news.readShelves();
  const beside = roles.has('responder') && config.responder.processes > 1;
  // Who serves nobody holds no CRL.
  const downloads = roles.has('responder') && !beside ? new Downloads(clock, setImmediate) : undefined;
  const unreadable = (issuer: ServedIssuer, error: unknown): void => {
    // It is read when the store says that it can be.
    if (store.failure === undefined) log.error({ err: error, issuer: issuer.id }, 'a current CRL cannot be read');
  };
  const files = await PublicFiles.open(issuers, store, clock.now(), unreadable, downloads);
  const elsewhere = signing === undefined ? new AskElsewhere(store, clock) : undefined;
  const live = signing?.live ?? new LiveElsewhere(issuers, store, clock, log);
  const responder =
    roles.has('responder') && !beside
      ? openResponder(core, files, news, (...asked) => (signing?.signer ?? elsewhere)?.ask(...asked), live, metrics)
      : undefined;
  let processes: ResponderProcesses | undefined;
  let fronts: readonly Front[] = [];
  const { freshness } = core;
  const archive = await openArchiveKeeper(core, metrics.set);
  undo.push(async () => archive?.stop());
  const tokens = (): readonly UsedToken[] =>
    (signing?.activation.views ?? []).map((view) => {
      const users = core.setups.filter((setup) => usesToken(setup, view.name));
      const served = users.flatMap(({ id }) => core.issuers.get(id) ?? []);
      return { view, issuers: served, servedUntil: servedUntil(served, freshness, files) };
    });
  const offline = journal && new OfflineWatch(issuers, store, freshness, clock, log);
  const sources: GaugeSources = {
    issuers,
    store,
    freshness,
    files,
    table: responder?.table,
    misses: responder?.misses,
    connections: responder && (() => connectionsOf(fronts)),
    processes: beside ? () => processes?.views() ?? [] : undefined,
    journal,
    publishers: signing?.publishers ?? new Map(),
    signers: signing?.issuers ?? [],
    signsWith: (issuer: IssuerTag) => signing?.signer.signsWith(issuer),
    tokens,
    census: signing?.books.census,
    urls: signing?.books.urls,
    offline,
    mass: () => mass?.runs.active,
    lanes: signing?.lanes,
    clocks,
    tls: () => [...renewal.ends, ...(core.tls?.notAfter === undefined ? [] : [{ use: 'redis', notAfter: core.tls.notAfter } as const])], // prettier-ignore
    notReloaded: () => renewal.failure ?? core.tls?.failure,
    clock,
  };
  if (offline !== undefined) registerOfflineGauges(metrics.set, offline, clock);
  registerGauges(metrics.set, sources);
  registerStoreGauges(metrics.set, core.health, store);
  const machine = openHostGauges(core, metrics.set);
  let monitor: MonitorRole | undefined;
  registerRevocationDeadlines(metrics.set, {
    unpublished: () => [
      store.oldestDue('revocation'),
      ...[...sources.publishers.values()].map(({ oldestUnlisted }) => oldestUnlisted),
    ],
    watched: () => monitor?.revocations.deadlines ?? [],
    clock,
  });
  if (signing !== undefined) {
    registerForecastGauges(metrics.set, signing.books.census, issuers, clock);
    registerUrlGauges(metrics.set, signing.books.urls, issuers, clock);
  }
  if (mass !== undefined) registerMassGauges(metrics.set, mass.runs);
  if (sources.processes !== undefined) registerProcessGauges(metrics.set, sources.processes);

  responder?.misses.start();
  undo.push(() => Promise.resolve(responder?.misses.stop()));
  // Listeners before signing: an occupied port is found before anything is signed.
  let stopping = false;
  const listening = await responder?.listen();
  fronts = listening?.fronts ?? [];
  undo.push(() => Promise.all(fronts.map((front) => front.close(0))));
  if (listening?.noOrigin !== undefined) sayNoOrigin(log, listening.noOrigin);
  if (beside) {
    const sign = (issuer: IssuerTag, serial: Serial): void => void signing?.signer.ask(issuer, serial);
    processes = await openResponderProcesses(core, sign, signing?.live, metrics);
    undo.push(async () => processes?.close(0));
    if (processes.noOrigin !== undefined) sayNoOrigin(log, processes.noOrigin);
  }
  const reconciliations = new Reconciliations({
    ...core,
    issuers,
    share: config.monitor.reconcileShare,
    expected: (of) => of.reduce((sum, { tag }) => sum + core.freshness.of(tag).count, 0) || undefined,
  });
  undo.push(() => reconciliations.stop());
  const { private: maxConnections } = fittingBounds(config, openFilesLimit());
  const publishers = new Map(issuers.map(({ id, tag }) => [id, signing?.publishers.get(tag)]));
  const routes: Omit<IntakeParts, 'identify' | 'tls'> = {
    core,
    publisherOf: (id) => publishers.get(id),
    responders: signing?.changes,
    reconciliations,
    archive,
    books: signing?.books,
    mass,
    tokens: signing && { activation: signing.activation, tokens, signers: signing.issuers },
  };
  const intake = openIntake(core, signing, routes, renewal, maxConnections);
  undo.push(async () => intake?.close());
  const intakeAt = intake && (await listenOn(intake, 'listen.intake', config.listen.intake));
  // A version that cannot use its store must not replace those that serve from memory. Once it could, an outage of the store is
  // everybody's, and sending clients elsewhere helps nobody.
  let relied = !roles.has('responder');
  const hasNothing = (): string | undefined => {
    relied ||= store.failure === undefined;
    return relied ? undefined : `the store could not be used since the start: ${store.failure}`;
  };
  // A process that does not tell is not waited for.
  const counted = async (): Promise<void> => {
    if (processes === undefined) return;
    await Promise.race([processes.counted(), new Promise<void>((resolve) => clock.after(SECOND, resolve))]);
  };
  const watch = new StatusWatch({
    sources,
    metrics: metrics.set,
    service: { name: config.name, version: VERSION, roles: [...roles], startedAt },
    archive: () => archive?.view,
    counted,
    log,
  });
  if (journal !== undefined) watch.follow(journal);
  const acting = new Acting(routes);
  undo.push(() => acting.close());
  const admin = makeAdmin({
    core,
    metrics: metrics.set,
    acting,
    secret: localSecret(config.dataDir, log),
    clients: () => renewal.clients,
    metricsDigest: () => renewal.metricsDigest,
    tls: renewal.tls.admin,
    exporter: new Exporter(metrics.set),
    counted,
    status: () => watch.status(),
    statusPage: (viewer, query) =>
      statusPage(watch.status(), { viewer, history: watch.history, runbook: config.runbook, query }),
    // An audit log that cannot be written stops the signing, not the serving: that is the alerts' business.
    notReady: () => (stopping ? 'stopping' : (hasNothing() ?? processes?.notReady())),
    maxConnections,
  });
  undo.push(() => admin.close());
  if (renewal.tls.admin !== undefined) renewal.port('admin', renewable(admin));
  const adminAt = await listenOn(admin, 'listen.admin', config.listen.admin);

  const book = journal && new ProbeBook(journal, clock, log);
  const { urls, everyMs } = config.probe;
  const selfProbe =
    (fronts.length === 0 && processes === undefined) || urls.length === 0
      ? undefined
      : new SelfProbe(
          urls,
          everyMs,
          tcpWire,
          clock,
          log,
          metrics.set,
          issuers.map(({ issuer }) => issuer),
          (...look) => book?.lookedAt(...look),
        );
  selfProbe?.start();
  undo.push(async () => selfProbe?.stop());
  book?.start();
  undo.push(async () => book?.stop());

  // Before anything is signed. Clients are being answered meanwhile.
  await clocks.start();
  machine.start();
  undo.push(() => Promise.resolve(machine.stop()));
  keeper?.start();
  undo.push(async () => keeper?.stop());
  if (keeper === undefined && recorder !== undefined) keepCheckpoints(recorder, core, () => stopping);
  offline?.start();
  undo.push(async () => offline?.stop());
  await signing?.start();
  await archive?.start(config.archive.verifyEveryMs);
  await mass?.runs.start();
  const listener = processes?.addresses.public ?? fronts[0]?.address;
  monitor = roles.has('monitor') ? openMonitor(core, reconciliations, listener, metrics.set, book) : undefined;
  undo.push(async () => monitor?.stop());
  monitor?.start();
  watch.start();
  undo.push(() => Promise.resolve(watch.stop()));
  renewal.start();
  undo.push(() => Promise.resolve(renewal.stop()));
  // Serving does not wait for a person or a device.
  if (signing !== undefined) {
    void activateAtStart(config.tokens, signing.activation, process.env, auditDir(config), clock, log)
      .then(() => loadingGauges)
      .then(() => sayInactive(tokens(), log))
      .catch(() => undefined);
  }

  let stopped: Promise<void> | undefined;
  const originAt = processes?.addresses.origin ?? fronts[1]?.address;
  return {
    core,
    addresses: {
      public: listener && addressOf(listener),
      origin: originAt && addressOf(originAt),
      intake: intakeAt && addressOf(intakeAt),
      admin: addressOf(adminAt),
    },
    reload(load) {
      if (stopping) return;
      renewal.reload(load);
      core.tls?.renew();
    },
    stop(why) {
      stopped ??= (async () => {
        stopping = true;
        renewal.stop();
        watch.stop();
        if (fronts.length > 0 || processes !== undefined) {
          for (const front of fronts) front.drain();
          processes?.drain();
          // Whoever looks at /readyz has that long to notice; meanwhile everybody is answered as ever.
          await sleep(config.responder.drainMs);
        }
        responder?.misses.stop();
        selfProbe?.stop();
        machine.stop();
        offline?.stop();
        await monitor?.stop();
        await reconciliations.stop();
        await book?.stop();
        await Promise.all([...fronts.map((front) => front.close(GRACE_MS)), processes?.close(GRACE_MS)]);
        await intake?.close();
        await mass?.stop();
        await signing?.stop();
        await archive?.stop();
        await keeper?.stop();
        await clocks.stop();
        await journal
          ?.append([{ type: 'service.stopped', actor: 'service', description: why }])
          .catch((error: unknown) => log.error({ err: error }, 'the stop could not be recorded'));
        await admin.close();
        await acting.close();
        await core.close();
      })();
      return stopped;
    },
  };
}

/** What a start after a crash has to read is what was journalled since: less than a second of reading. */
function keepCheckpoints(recorder: Recorder, core: Core, stopped: () => boolean): void {
  const { clock, log } = core;
  clock.after(CHECKPOINT_MS, () => {
    if (stopped()) return;
    void recorder
      .checkpoint()
      .catch((error: unknown) => log.warn({ err: error }, 'the ledger could not note how far it has followed'))
      .then(() => keepCheckpoints(recorder, core, stopped));
  });
}

/** Events of the CA, and what operators ask of the signer. Undefined when this process has neither role, or no intake section. */
function openIntake(
  core: Core,
  signing: SignerRole | undefined,
  routes: Omit<IntakeParts, 'identify' | 'tls'>,
  renewal: Renewal,
  maxConnections: number,
): FastifyInstance | undefined {
  const { config, recorder, log } = core;
  const { intake } = config;
  if (recorder === undefined && signing === undefined) return undefined;
  if (intake === undefined) {
    log.warn({}, 'no intake: the configuration has no intake section, so events come from the local shell only');
    return undefined;
  }
  const app = makeIntake({
    ...routes,
    identify: (request) => clientOf(request.raw.socket as TLSSocket, renewal.clients),
    tls: renewal.tls.intake,
    maxConnections,
  });
  renewal.port('intake', renewable(app));
  return app;
}

/** Where none can be kept, as on a read-only file system, people sign in with their certificates alone. */
function localSecret(dataDir: string, log: Log): Buffer | undefined {
  try {
    return openLocalSecret(dataDir);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    log.warn({ field: error.field }, `certstatus sign-in makes no links for this process: ${error.message}`);
    return undefined;
  }
}

function sayNoOrigin(log: Log, reason: string): void {
  log.warn({ reason }, 'no origin listener: uWebSockets.js cannot be loaded; the public listener serves everybody');
}

function usesToken({ responders, crlKeys = [] }: IssuerSetup, name: string): boolean {
  const keys = [...responders.flatMap((responder) => responder.keys), ...crlKeys];
  return keys.some((key) => key.kind === 'pkcs11' && key.token === name);
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
        ? 'the port is in use by another process: stop that, or give another port'
        : code === 'EACCES'
          ? 'no permission to use this port'
          : (error as Error).message;
    throw new Problem('config', why, { field, value: `${host}:${port}` });
  }
}

function addressOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
