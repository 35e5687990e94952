/**
 * The store of a responder process whose first process has the only store that there may be: looks up there, over the channel, and is
 * told of every change in order. It writes nothing (P7).
 *
 * It never has to say that it is unreliable: nothing is acknowledged before this process has heard of it (supervisor.ts), and it
 * ends with the channel. While the first process does not answer, what is in memory is served on.
 *
 * Bounded: look-ups under way, and the time that one may take; then Problem `unavailable`, and the client gets tryLater.
 */
import type { CrlRecord, CrlScope, IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import type { LiveQuestion, LiveSignature } from '../../core/ocsp/live.ts';
import type { ResponderUse } from '../../core/policy/responder-choice.ts';
import type { Serial } from '../../core/serial.ts';
import type { CrlArchive } from '../../ports/crl-archive.ts';
import type { Lookup, ResponderStore, StoreEvent } from '../../ports/store.ts';
import {
  BATCH,
  certificateIn,
  lookupIn,
  type EventRow,
  type FoundRow,
  type FromChild,
  type LookUpRow,
  type ResponderList,
  type ToChild,
} from './messages.ts';

type Question =
  ({ readonly about: 'crl' } & CrlScope) | { readonly about: 'scopes' | 'responders'; readonly issuer: IssuerTag };

export interface LinkedStoreOptions {
  readonly send: (message: FromChild) => void;
  /** What the first process has published can be read from its archive. */
  readonly archive: Pick<CrlArchive, 'read'>;
  /** A CRL was published and cannot be read: the one before is served on. */
  readonly unreadable: (record: CrlRecord, error: unknown) => void;
}

/** Beyond this many a client gets tryLater at once. */
const MAX_LOOKUPS = 8192;
/** No client waits longer (flows/serve/answer.ts), counted in sweeps so that a machine that slept is no reason. */
const SWEEP_MS = 500;
const PATIENT_SWEEPS = 4;

interface Waiting {
  readonly sweep: number;
  readonly resolve: (found: Lookup) => void;
  readonly reject: (error: Problem) => void;
}

export class LinkedStore implements ResponderStore {
  readonly failure = undefined;
  readonly mustVouch = false;
  readonly propagationMs = 0;
  readonly #options: LinkedStoreOptions;
  readonly #followers: ((event: StoreEvent) => void)[] = [];
  readonly #lookups = new Map<number, Waiting>();
  readonly #questions = new Map<number, { resolve: (value: unknown) => void; reject: (error: Problem) => void }>();
  /** By scope: one after the other, so that nobody is told an older CRL after a newer one. */
  readonly #crls = new Map<string, Promise<void>>();
  #id = 0;
  #toLookUp: LookUpRow[] = [];
  #toSign: (readonly [IssuerTag, Serial])[] = [];
  #flushing = false;
  #sweep = 0;
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: LinkedStoreOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => this.#giveUp(), SWEEP_MS).unref();
  }

  lookup(issuer: IssuerTag, serial: Serial): Promise<Lookup> {
    if (this.#lookups.size >= MAX_LOOKUPS) return Promise.reject(unavailable('too many look-ups are under way'));
    const id = ++this.#id;
    this.#toLookUp.push([id, issuer, serial]);
    this.#flushSoon();
    return new Promise((resolve, reject) => this.#lookups.set(id, { sweep: this.#sweep, resolve, reject }));
  }

  async current({ issuer, shard }: CrlScope): Promise<CrlRecord | undefined> {
    return (await this.#question({ about: 'crl', issuer, shard })) as CrlRecord | undefined;
  }

  async scopes(issuer: IssuerTag): Promise<readonly CrlScope[]> {
    return (await this.#question({ about: 'scopes', issuer })) as readonly CrlScope[];
  }

  body(record: CrlRecord): Promise<Buffer> {
    return this.#options.archive.read(record);
  }

  async responders(issuer: IssuerTag): Promise<readonly Buffer[]> {
    const { ders } = (await this.#question({ about: 'responders', issuer })) as ResponderList;
    return ders.map((der) => Buffer.from(der));
  }

  async retiredResponders(issuer: IssuerTag): Promise<ReadonlyMap<string, Exclude<ResponderUse, 'signing'>>> {
    return ((await this.#question({ about: 'responders', issuer })) as ResponderList).retired;
  }

  ask(issuer: IssuerTag, serial: Serial): void {
    this.#toSign.push([issuer, serial]);
    this.#flushSoon();
  }

  async askLive(question: LiveQuestion, withinMs: number): Promise<LiveSignature | 'refused' | 'silence'> {
    const id = ++this.#id;
    this.#options.send({ type: 'sign-live', id, question });
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<'silence'>((resolve) => {
      timer = setTimeout(() => resolve('silence'), withinMs);
    });
    const answer = this.#answer(id).catch(() => 'refused') as Promise<LiveSignature | 'refused'>;
    try {
      return await Promise.race([answer, silence]);
    } finally {
      clearTimeout(timer);
      this.#questions.delete(id);
    }
  }

  /** None: what the first process knows to be issued is not sent over. The budget learns it from what is recorded and found. */
  async *serials(): AsyncIterable<readonly Serial[]> {
    // Nothing to wait for either.
  }

  failureOf(): undefined {
    return undefined;
  }

  silentMs(): number {
    return 0;
  }

  follow(follower: (event: StoreEvent) => void): void {
    this.#followers.push(follower);
  }

  /** What the first process says. Events are applied before this returns, except a CRL, whose bytes have to be read. */
  take(message: ToChild): void {
    switch (message.type) {
      case 'events':
        for (const row of message.rows) this.#tell(eventIn(row));
        return;
      case 'found':
        for (const row of message.rows) this.#found(row);
        return;
      case 'crl':
        this.#follow(message.record, message.id);
        return;
      case 'answer':
        this.#questions.get(message.id)?.resolve(message.value);
        this.#questions.delete(message.id);
        return;
      case 'unanswered':
        this.#questions.get(message.id)?.reject(unavailable(message.reason));
        this.#questions.delete(message.id);
        return;
      case 'begin':
      case 'listen':
      case 'mark':
      case 'drain':
      case 'stop':
        // Not for a store.
        return;
    }
  }

  close(): void {
    clearInterval(this.#sweeper);
  }

  #tell(event: StoreEvent): void {
    for (const follower of this.#followers) follower(event);
  }

  #found(row: FoundRow): void {
    const waiting = this.#lookups.get(row[0]);
    if (waiting === undefined) return;
    this.#lookups.delete(row[0]);
    if (row[1] === 'failed') waiting.reject(unavailable(row[2]));
    else waiting.resolve(lookupIn(row));
  }

  #follow(record: CrlRecord, id: number): void {
    const scope = `${record.issuer} ${record.shard}`;
    const read = this.#options.archive.read(record);
    const followed = Promise.allSettled([read, this.#crls.get(scope)]).then(([der]) => {
      if (der.status === 'fulfilled') this.#tell({ type: 'crl', record, der: der.value });
      else this.#options.unreadable(record, der.reason);
      this.#options.send({ type: 'crl-served', id });
      if (this.#crls.get(scope) === followed) this.#crls.delete(scope);
    });
    this.#crls.set(scope, followed);
  }

  #question(question: Question): Promise<unknown> {
    const id = ++this.#id;
    this.#options.send({ type: 'question', id, ...question });
    return this.#answer(id);
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#questions.set(id, { resolve, reject }));
  }

  /** What is asked in one turn of the event loop goes together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      const [lookups, asks] = [this.#toLookUp, this.#toSign];
      this.#toLookUp = [];
      this.#toSign = [];
      for (let i = 0; i < lookups.length; i += BATCH)
        this.#options.send({ type: 'look-up', rows: lookups.slice(i, i + BATCH) });
      for (let i = 0; i < asks.length; i += BATCH) this.#options.send({ type: 'sign', rows: asks.slice(i, i + BATCH) });
    });
  }

  /** Look-ups are in the order of their age. */
  #giveUp(): void {
    this.#sweep++;
    for (const [id, { sweep, reject }] of this.#lookups) {
      if (this.#sweep - sweep <= PATIENT_SWEEPS) return;
      this.#lookups.delete(id);
      reject(unavailable('the first process does not answer'));
    }
  }
}

function eventIn(row: EventRow): StoreEvent {
  switch (row[0]) {
    case 'recorded': {
      const [, ...certificate] = row;
      // Which lane signs it is the first process's business; that it must be signed is what matters here.
      return { type: 'recorded', change: { certificate: certificateIn(certificate), lane: 'refresh' } };
    }
    case 'published': {
      const [, issuer, serial, revision] = row;
      // Also what is held of this very revision goes: it has a successor, which is looked up when somebody asks.
      return { type: 'answered', issuer, serial, revision: revision + 1 };
    }
    case 'responder':
      return { type: 'responder', issuer: row[1], der: Buffer.from(row[2]) };
    case 'responder-retired':
      return { type: 'responder-retired', issuer: row[1], responder: row[2], use: row[3] };
  }
}

function unavailable(why: string): Problem {
  return new Problem('unavailable', why, { field: 'store' });
}
