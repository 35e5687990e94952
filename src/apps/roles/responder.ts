/** The responder role: the two public listeners over a table of ready answers. It holds no key and writes nothing (P7). */
import { randomInt } from 'node:crypto';
import { openOriginFront } from '../../adapters/origin-front/listener.ts';
import { loadUws } from '../../adapters/origin-front/uws.ts';
import { openPublicFront } from '../../adapters/public-front/listener.ts';
import { completeCrl, type IssuerTag } from '../../core/certificate.ts';
import type { Serial } from '../../core/serial.ts';
import { makeAnswer } from '../../flows/serve/answer.ts';
import { LiveAnswers, type LiveSource } from '../../flows/serve/live.ts';
import type { FlowMetrics } from '../../flows/metrics.ts';
import { MissBudget } from '../../flows/serve/miss-budget.ts';
import type { PublicFile, PublicFiles } from '../../flows/serve/public-files.ts';
import type { ResponderNews } from '../../flows/sign/responder-news.ts';
import { ResponseTable } from '../../flows/serve/response-table.ts';
import type { Answer, Front } from '../../ports/front.ts';
import type { ResponderStore } from '../../ports/store.ts';
import type { Config } from '../config.ts';
import type { Listen } from '../listen-config.ts';
import type { Core } from '../core.ts';
import { fittingBounds, openFilesLimit } from '../open-files.ts';

/** What the role needs of the process that it is in. */
export interface ResponderParts extends Pick<Core, 'config' | 'setups' | 'issuers' | 'urls' | 'clock' | 'log'> {
  readonly store: ResponderStore;
}

export interface ResponderRole {
  readonly table: ResponseTable;
  readonly misses: MissBudget;
  /** Opens the listeners: the public one first, then the origin one, where its binary loads. */
  listen(shared?: SharedPorts): Promise<Listening>;
}

/** Ports that other processes of the service listen on too. */
export interface SharedPorts {
  readonly public: Listen & { readonly handle: object | undefined };
  readonly origin: Listen | undefined;
}

export interface Listening {
  readonly fronts: readonly Front[];
  /** Why there is no origin listener, where one was to be. */
  readonly noOrigin: string | undefined;
}

/**
 * @param ask how something gets signed that a client is waiting for.
 * @param live likewise what echoes a nonce.
 */
export function openResponder(
  core: ResponderParts,
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
    files: core.setups.flatMap(({ issuer, urls }) => {
      const crl: PublicFile = { kind: 'crl', ...completeCrl(issuer.tag) };
      const caCertificate: PublicFile = { kind: 'ca-certificate', issuer: issuer.tag };
      return [
        ...urls.crl.map((url) => ({ ...url, file: crl })),
        ...urls.caCertificate.map((url) => ({ ...url, file: caCertificate })),
      ];
    }),
    publicFiles: files,
    table,
    misses,
    ask,
    live: new LiveAnswers(live, table, store, clock, metrics.live),
    clock,
    log,
    metrics: metrics.answer,
  });
  return { table, misses, listen: (shared) => openFronts(config, answer, metrics, shared) };
}

async function openFronts(
  config: Config,
  answer: Answer,
  metrics: FlowMetrics,
  shared?: SharedPorts,
): Promise<Listening> {
  const { listen } = config;
  const bounds = fittingBounds(config, openFilesLimit());
  const { descriptor } = listen.public;
  const front = await openPublicFront({
    ...(shared ?? listen).public,
    hold: listen.public.hold,
    maxConnections: bounds.public,
    shed: metrics.shed('public'),
    shared: shared?.public ?? (descriptor === undefined ? undefined : { handle: { fd: descriptor } }),
    answer,
  });
  const origin = (shared ?? listen).origin;
  const loaded = origin && loadUws();
  if (origin === undefined || loaded === undefined) return { fronts: [front], noOrigin: undefined };
  if (!loaded.ok) return { fronts: [front], noOrigin: loaded.reason };
  try {
    const second = await openOriginFront({
      ...origin,
      maxConnections: bounds.origin,
      shed: metrics.shed('origin'),
      shared: shared !== undefined,
      uws: loaded.uws,
      answer,
    });
    return { fronts: [front, second], noOrigin: undefined };
  } catch (error) {
    await front.close(0);
    throw error;
  }
}

/** By the names of the listeners, which are opened in this order. */
export function connectionsOf(fronts: readonly Front[]): ReadonlyMap<string, number> {
  return new Map(fronts.map(({ connections }, i) => [['public', 'origin'][i] as string, connections]));
}
