/** Where the responder processes ask: the first process's answers to them, out of its store. */
import type { IssuerTag } from '../../core/certificate.ts';
import type { LiveQuestion, LiveSignature } from '../../core/ocsp/live.ts';
import type { Serial } from '../../core/serial.ts';
import type { CrlShelf, ResponseSource, StoreEvent } from '../../ports/store.ts';
import {
  certificateRow,
  foundRow,
  type EventRow,
  type FoundRow,
  type FromChild,
  type LookUpRow,
  type ResponderList,
  type ToChild,
} from './messages.ts';

export interface DeskSources {
  readonly store: ResponseSource & Pick<CrlShelf, 'current' | 'scopes'>;
  /** As they are now: what was installed or retired since the start is in it. */
  readonly responders: (issuer: IssuerTag) => ResponderList;
  /** Has it signed ahead of its turn. What is too much is dropped. */
  readonly sign: (issuer: IssuerTag, serial: Serial) => void;
  /** Has an answer with a nonce signed. Undefined, at once or later: refused. */
  readonly live: (question: LiveQuestion) => Promise<LiveSignature | undefined> | undefined;
}

export class Desk {
  readonly #sources: DeskSources;

  constructor(sources: DeskSources) {
    this.#sources = sources;
  }

  /** Never rejects, and does not wait: replies come when they are there. */
  take(message: FromChild, reply: (message: ToChild) => void): void {
    if (message.type === 'look-up') {
      void Promise.all(message.rows.map((row) => this.#lookUp(row))).then((rows) => reply({ type: 'found', rows }));
    } else if (message.type === 'sign') {
      for (const [issuer, serial] of message.rows) this.#sources.sign(issuer, serial);
    } else if (message.type === 'sign-live') {
      const { id, question } = message;
      Promise.resolve(this.#sources.live(question)).then(
        (value) => reply({ type: 'answer', id, value: value ?? 'refused' }),
        (error: unknown) => reply({ type: 'unanswered', id, reason: (error as Error).message }),
      );
    } else if (message.type === 'question') {
      const { id } = message;
      this.#answer(message).then(
        (value) => reply({ type: 'answer', id, value }),
        (error: unknown) => reply({ type: 'unanswered', id, reason: (error as Error).message }),
      );
    }
  }

  async #answer(question: Extract<FromChild, { type: 'question' }>): Promise<unknown> {
    const { store, responders } = this.#sources;
    if (question.about === 'crl') return store.current({ issuer: question.issuer, shard: question.shard });
    return question.about === 'scopes' ? store.scopes(question.issuer) : responders(question.issuer);
  }

  async #lookUp([id, issuer, serial]: LookUpRow): Promise<FoundRow> {
    try {
      return foundRow(id, await this.#sources.store.lookup(issuer, serial));
    } catch (error) {
      return [id, 'failed', (error as Error).message];
    }
  }
}

/** What a responder process is told of an event. Nothing where it cannot hold anything that the event changes; a CRL goes by itself. */
export function eventRow(event: StoreEvent): EventRow | undefined {
  switch (event.type) {
    case 'recorded':
      return event.change.lane === undefined ? undefined : ['recorded', ...certificateRow(event.change.certificate)];
    case 'published': {
      const { issuer, serial, revision } = event.response;
      return ['published', issuer, serial, revision];
    }
    case 'responder':
      return ['responder', event.issuer, event.der];
    case 'responder-retired':
      return ['responder-retired', event.issuer, event.responder, event.use];
    // Certificates that have expired are not answered for; the rest is of shared stores, which each process follows itself.
    case 'retired':
    case 'crl':
    case 'answered':
    case 'gap':
      return undefined;
  }
}
