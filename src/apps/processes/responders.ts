/**
 * The responder role as processes of its own: they share the ports, this process keeps store, journal and keys. A responder process
 * is given the configuration without tokens, intake and commands, and opens no key, journal or embedded store (P7).
 */
import { sharePort, type SharedPort } from '../../adapters/processes/port-share.ts';
import { Desk } from '../../adapters/processes/desk.ts';
import { Supervisor } from '../../adapters/processes/supervisor.ts';
import type { IssuerTag } from '../../core/certificate.ts';
import { MetricSum } from '../../core/metric-changes.ts';
import type { Serial } from '../../core/serial.ts';
import type { LiveSource } from '../../flows/serve/live.ts';
import type { FlowMetrics } from '../../flows/metrics.ts';
import type { ProcessView } from '../../ports/processes.ts';
import type { Config } from '../config.ts';
import type { Listen } from '../listen-config.ts';
import type { Core } from '../core.ts';

/** What a responder process is given to begin with; it goes over the channel. */
export interface ResponderSettings {
  readonly config: Config;
  readonly index: number;
  /** Ids: one that came later is for the next start. */
  readonly issuers: readonly string[];
}

export interface ResponderProcesses {
  readonly addresses: { readonly public: Listen; readonly origin: Listen | undefined };
  /** Why there is no origin listener, where one was to be. */
  readonly noOrigin: string | undefined;
  readonly views: () => readonly ProcessView[];
  /** Why this machine should get no traffic; undefined when it should. */
  readonly notReady: () => string | undefined;
  /** Resolves when what they have counted so far is in the metrics. */
  counted(): Promise<void>;
  drain(): void;
  close(graceMs: number): Promise<void>;
}

/**
 * Resolves when all of them serve.
 * @param sign has something signed that a client is waiting for.
 * @param live likewise what echoes a nonce; undefined where nothing is signed.
 * @throws Problem `config` naming the port that cannot be used, or in the words of a process that cannot start.
 */
export async function openResponderProcesses(
  core: Core,
  sign: (issuer: IssuerTag, serial: Serial) => void,
  live: LiveSource | undefined,
  metrics: FlowMetrics,
): Promise<ResponderProcesses> {
  const { config, store, relay, log } = core;
  const { listen } = config;
  const pub = await sharePort('listen.public', listen.public);
  let origin: SharedPort | undefined;
  try {
    origin = listen.origin && (await sharePort('listen.origin', listen.origin, 'each'));
  } catch (error) {
    pub.release();
    throw error;
  }
  const byTag = new Map([...core.issuers.values()].map((issuer) => [issuer.tag, issuer]));
  const sum = new MetricSum(metrics.set);
  const ends = (reason: string) =>
    metrics.set.counter(
      'certstatus_responder_process_ends_total',
      'Responder processes that ended and were started again. stalled: killed, because they did not answer.',
      { reason },
    );
  const supervisor = new Supervisor({
    program: new URL('responder-main.js', import.meta.url),
    env: environment(process.env),
    count: config.responder.processes,
    settings: (index): ResponderSettings => ({
      config: { ...config, roles: new Set(['responder']), tokens: [], intake: undefined, cli: undefined },
      index,
      issuers: [...core.issuers.keys()],
    }),
    ports: { public: pub, origin },
    desk:
      relay &&
      new Desk({
        store,
        responders: (tag) => {
          const responders = byTag.get(tag)?.responders;
          const ders = responders?.list.map(({ certificate }) => certificate.der) ?? [];
          return { ders, retired: responders?.retired ?? new Map() };
        },
        sign,
        live: (question) => live?.ask(question),
      }),
    onTold: ({ changes }) => sum.add(changes),
    ends: { ended: ends('ended'), stalled: ends('stalled'), start: ends('start') },
    log,
  });
  // Before the first of them can ask for anything.
  relay?.relay((events) => supervisor.relay(events));
  await supervisor.start();
  return {
    addresses: { public: pub, origin: supervisor.noOrigin === undefined ? origin : undefined },
    noOrigin: supervisor.noOrigin,
    views: () => supervisor.views,
    notReady: () =>
      supervisor.views.some(({ state }) => state === 'serving') ? undefined : 'no responder process serves',
    counted: () => supervisor.heard(),
    drain: () => supervisor.drain(),
    close: (graceMs) => supervisor.stop(graceMs),
  };
}

/** Where PINs and passwords may be found is nothing to a process that strangers talk to. */
function environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !/^CERTSTATUS_|^CREDENTIALS_DIRECTORY$|PIN$/.test(name));
  return Object.fromEntries(kept);
}
