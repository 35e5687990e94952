/** The responder role: the two public listeners over a table of ready answers. It holds no key and writes nothing (P7). */
import { randomInt } from 'node:crypto';
import { openOriginFront } from '../../adapters/origin-front/listener.ts';
import { loadUws } from '../../adapters/origin-front/uws.ts';
import { openPublicFront } from '../../adapters/public-front/listener.ts';
import type { IssuerTag } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { makeAnswer } from '../../flows/answer.ts';
import { LiveAnswers, type LiveSource } from '../../flows/live.ts';
import type { FlowMetrics } from '../../flows/metrics.ts';
import { MissBudget } from '../../flows/miss-budget.ts';
import type { PublicFiles } from '../../flows/public-files.ts';
import type { ResponderNews } from '../../flows/responder-news.ts';
import { ResponseTable } from '../../flows/response-table.ts';
import type { Answer, Front } from '../../ports/front.ts';
import type { Core } from '../core.ts';
import { fittingBounds, openFilesLimit } from '../open-files.ts';

export interface ResponderRole {
  readonly table: ResponseTable;
  readonly misses: MissBudget;
  /** Opens the listeners: the public one first, then the origin one, where its binary loads. */
  listen(): Promise<readonly Front[]>;
}

/**
 * @param ask how something gets signed that a client is waiting for.
 * @param live likewise what echoes a nonce.
 */
export function openResponder(
  core: Core,
  files: PublicFiles,
  news: ResponderNews,
  ask: (issuer: IssuerTag, serial: Serial) => Promise<void> | undefined,
  live: LiveSource,
  metrics: FlowMetrics,
): ResponderRole {
  const { config, store, clock, log } = core;
  const issuers = [...core.issuers.values()];
  const shared = config.store.kind === 'embedded' ? undefined : config.store;
  const table = new ResponseTable(
    issuers,
    store,
    config.limits.responseTableBytes,
    (issuer) => news.meet(issuer),
    shared,
  );
  const misses = new MissBudget({
    issuers: issuers.map(({ tag }) => tag),
    store,
    perSecond: config.limits.lookupsPerSecond,
    seed: randomInt(2 ** 32),
    clock,
    log,
    metrics: metrics.lookups,
  });
  const answer = makeAnswer({
    issuers,
    ocspUrls: core.urls,
    files: core.setups.flatMap(({ issuer, urls }) => [
      ...urls.crl.map((url) => ({ ...url, file: { kind: 'crl' as const, issuer: issuer.tag } })),
      ...urls.caCertificate.map((url) => ({ ...url, file: { kind: 'ca-certificate' as const, issuer: issuer.tag } })),
    ]),
    publicFiles: files,
    table,
    misses,
    ask,
    live: new LiveAnswers(live, table, store, clock, metrics.live),
    clock,
    log,
    metrics: metrics.answer,
  });
  return { table, misses, listen: () => openFronts(core, answer, metrics) };
}

async function openFronts({ config, log }: Core, answer: Answer, metrics: FlowMetrics): Promise<readonly Front[]> {
  const { listen } = config;
  const bounds = fittingBounds(config, openFilesLimit());
  const shed = metrics.shed('public');
  const front = await openPublicFront({ ...listen.public, maxConnections: bounds.public, shed, answer });
  const loaded = listen.origin && loadUws();
  if (listen.origin === undefined || loaded === undefined) return [front];
  if (!loaded.ok) {
    log.warn(
      { reason: loaded.reason },
      'no origin listener: uWebSockets.js cannot be loaded; the public listener serves everybody',
    );
    return [front];
  }
  try {
    const origin = { ...listen.origin, maxConnections: bounds.origin, shed: metrics.shed('origin') };
    return [front, await openOriginFront({ ...origin, uws: loaded.uws, answer })];
  } catch (error) {
    await front.close(0);
    throw error;
  }
}
