/**
 * Who is signed in on the admin port. In memory: a restart signs everybody out. Of a session's name only the digest is kept, which
 * is what it is looked up by, so no comparison tells how much of a guess was right.
 */
import { createHash, randomBytes } from 'node:crypto';
import { HOUR, MINUTE, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { AdminRight } from './layout.ts';

/** SR-5-c, SJ-5-c: inactivity time-outs; no figure is given. */
export const IDLE_MS = 15 * MINUTE;
export const LONGEST_MS = 12 * HOUR;
/** Operators are few; beyond it whoever was idle for longest is signed out. */
export const MAX_SESSIONS = 100;
/** 256 bits. */
const ID_OCTETS = 32;

export interface Operator {
  readonly name: string;
  /** For the audit log: name and fingerprint of the client certificate, or the local shell's user. */
  readonly actor: string;
  readonly may: readonly AdminRight[];
  /** Issuer ids, or `*`, for what they do. */
  readonly issuers: readonly string[];
  /** Of the client certificate with which they signed in; undefined: with a link from a shell of this machine. */
  readonly fingerprint: string | undefined;
}

export interface Session {
  readonly operator: Operator;
  /** In each form; hex. */
  readonly csrf: string;
  readonly openedAt: EpochMs;
  usedAt: EpochMs;
}

export class Sessions {
  readonly #clock: Clock;
  /** By digest of the id, the one used longest ago first. */
  readonly #open = new Map<string, Session>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those that have not run out. */
  get count(): number {
    this.#drop();
    return this.#open.size;
  }

  /** Always under a new id: what a browser brought along is never taken over (session fixation). */
  open(operator: Operator): { readonly id: string; readonly session: Session } {
    this.#drop();
    const [idlest] = this.#open.keys();
    if (this.#open.size >= MAX_SESSIONS && idlest !== undefined) this.#open.delete(idlest);
    const id = randomBytes(ID_OCTETS).toString('hex');
    const now = this.#clock.now();
    const session = { operator, csrf: randomBytes(ID_OCTETS).toString('hex'), openedAt: now, usedAt: now };
    this.#open.set(digestOf(id), session);
    return { id, session };
  }

  /** @param active false for what a page does by itself: a page that reloads does not keep its session for ever. */
  find(id: string, active: boolean): Session | undefined {
    const digest = digestOf(id);
    const session = this.#open.get(digest);
    if (session === undefined) return undefined;
    if (this.#isOver(session)) {
      this.#open.delete(digest);
      return undefined;
    }
    if (active) {
      session.usedAt = this.#clock.now();
      this.#open.delete(digest);
      this.#open.set(digest, session);
    }
    return session;
  }

  /** False when there was none. */
  close(id: string): boolean {
    return this.#open.delete(digestOf(id));
  }

  #drop(): void {
    for (const [digest, session] of this.#open) if (this.#isOver(session)) this.#open.delete(digest);
  }

  /** A clock that was set back makes no session longer than both limits from now on. */
  #isOver({ openedAt, usedAt }: Session): boolean {
    const now = this.#clock.now();
    return now > usedAt + IDLE_MS || now > openedAt + LONGEST_MS || now < openedAt - IDLE_MS;
  }
}

function digestOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}
