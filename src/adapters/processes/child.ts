/** A responder process's end of the channel. It lives as long as the first process does, and stops when that says so. */
import type { MetricChanges } from '../../core/metric-changes.ts';
import type { ProcessTold } from '../../ports/processes.ts';
import type { FromChild, SharedListen, ToChild } from './messages.ts';

/** What the program is made of. */
export interface ChildProgram {
  /** Opens the listeners. Returns why there is no origin listener, where one was to be. */
  readonly listen: (at: {
    readonly public: SharedListen & { readonly handle: object | undefined };
    readonly origin: SharedListen | undefined;
  }) => Promise<string | undefined>;
  /** What was counted since the last call. */
  readonly told: () => MetricChanges;
  /** Each reply is the last of its connection from now on. */
  readonly drain: () => void;
  readonly stop: (graceMs: number) => Promise<void>;
}

/** What the program is given to begin with. */
export interface ChildLink {
  readonly settings: unknown;
  readonly send: (message: FromChild) => void;
  /** Whatever is not dealt with here, in order. To be called before anything is waited for, or events are lost. */
  readonly take: (listener: (message: ToChild) => void) => void;
}

/** @param program is to have read everything that the first request needs when it resolves. */
export function runChild(program: (link: ChildLink) => Promise<ChildProgram>): void {
  // The terminal and the service manager signal every process; who drains whom is the first one's to say.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  // Without the first process no revocation reaches this one: not another answer.
  process.once('disconnect', () => process.exit(1));

  let running: ChildProgram | undefined;
  let toStore: (message: ToChild) => void = () => undefined;
  const told = (): ProcessTold => {
    const { user, system } = process.cpuUsage();
    const changes = running?.told() ?? { counters: [], histograms: [], gauges: [] };
    return { changes, residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
  };
  const fail = (error: unknown): void => {
    const { line, message } = error as Error & { readonly line?: string };
    send({ type: 'failed', reason: line ?? message }, () => process.exit(1));
  };

  process.on('message', (message: ToChild, handle: unknown) => {
    switch (message.type) {
      case 'begin':
        program({ settings: message.settings, send, take: (listener) => (toStore = listener) }).then((ready) => {
          running = ready;
          send({ type: 'ready' });
        }, fail);
        return;
      case 'listen': {
        const { host, port } = message.public;
        const shared = message.public.handle ? (handle as object) : undefined;
        running
          ?.listen({ public: { host, port, handle: shared }, origin: message.origin })
          .then((noOrigin) => send({ type: 'serving', noOrigin }), fail);
        return;
      }
      case 'mark':
        send({ type: 'marked', mark: message.mark, told: told() });
        return;
      case 'drain':
        running?.drain();
        return;
      case 'stop':
        void (running?.stop(message.graceMs) ?? Promise.resolve())
          .catch(() => undefined)
          .then(() => send({ type: 'stopped', told: told() }, () => process.exit(0)));
        return;
      case 'events':
      case 'crl':
      case 'found':
      case 'answer':
      case 'unanswered':
        toStore(message);
    }
  });
}

function send(message: FromChild, done: () => void = () => undefined): void {
  // A channel that is gone ends the process by itself.
  if (process.connected) process.send?.(message, undefined, undefined, done);
}
