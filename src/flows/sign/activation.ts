/**
 * Who may have the keys of a token used: activation by several persons, its end, and the records of both (CT-6.2.2, CT-6.2.8,
 * CT-6.2.9, SR-6.2.2, SR-6.4.1).
 *
 * Activation by shares, each step after the record of the one before is durable (P8):
 *
 *  1. share-entered      per person; not durable → the share is overwritten, its keeper enters it again.
 *  2. combine, check     a wrong or mixed set is recognised here (core/pin.ts): activation-failed, all shares are overwritten,
 *                        and the token, whose retry counter a wrong PIN would cost, is never asked.
 *  3. activating         the persons; not durable → everything is overwritten, nothing is sent to the token.
 *  4. login              refused or unreachable → activation-failed.
 *  5. activated          not durable → the token is deactivated again.
 *
 * Whoever entered a share of a wrong set as the first one may enter another instead: it would keep everybody else out until
 * it has waited for its 15 minutes.
 *
 * A crash after 3 ends the login with the process: the log says that it was tried. Shares and PINs are in memory only and are
 * overwritten as soon as they have been used, refused, or have waited for 15 minutes; the text in which a share arrived is a
 * string, which JavaScript cannot overwrite.
 *
 * Deactivation of a token with a threshold is asked for by as many persons within 15 minutes; then deactivated is recorded and
 * the token logs out. Without a record it stays active, but nothing is signed with it either while the log cannot be written.
 */
import { openSealedPin } from '../../core/pin.ts';
import { Problem } from '../../core/problem.ts';
import type { Share } from '../../core/share.ts';
import { MINUTE, type EpochMs } from '../../core/time.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Token, TokenKey, TokenState } from '../../ports/token.ts';
import type { Log } from '../log.ts';
import { checkShare, isCorrection, mustNotBeActive, type Entered } from './share-rules.ts';
import { namesOf, TokenRecords, type Person } from './token-records.ts';

/** How long a share or a request waits for the other persons. */
const PATIENCE_MS = 15 * MINUTE;

export interface ControlledToken {
  readonly token: Token;
  /** How many persons must each enter a share; undefined where the PIN comes from one place. */
  readonly threshold: number | undefined;
  /** For people: `shares`, `prompt`, `descriptor`, `credential`. */
  readonly source: string;
}

/** Gives what the shares make together, which may be rubbish. May throw. */
export type Combine = (shares: readonly Uint8Array[]) => Promise<Uint8Array>;

/** What people see of a token; nothing in it is secret. */
export interface TokenView {
  readonly name: string;
  readonly describe: string;
  readonly state: TokenState;
  readonly failure: string | undefined;
  readonly source: string;
  readonly threshold: number | undefined;
  /** The activation that holds. */
  readonly activated: { readonly at: EpochMs; readonly persons: readonly string[] } | undefined;
  /** Persons whose share waits for others; until when. */
  readonly shares: Waiting | undefined;
  /** Persons who have asked for the deactivation, and wait for others. */
  readonly deactivation: Waiting | undefined;
}

interface Waiting {
  readonly persons: readonly string[];
  readonly until: EpochMs;
}

/** Persons of one undertaking, the first of whom set the clock. */
interface Gathering<T> {
  readonly entries: T[];
  readonly until: EpochMs;
  readonly timer: Timer;
}

interface Controlled extends ControlledToken {
  shares: Gathering<Entered> | undefined;
  deactivation: Gathering<Person> | undefined;
  activated: { readonly at: EpochMs; readonly persons: readonly Person[] } | undefined;
  /** As last told; while `busy` an operation of ours records what becomes of it. */
  state: TokenState;
  busy: boolean;
  /** One operation after the other. */
  turn: Promise<unknown>;
}

export class Activation {
  readonly #tokens: ReadonlyMap<string, Controlled>;
  readonly #combine: Combine;
  readonly #records: TokenRecords;
  readonly #clock: Clock;
  readonly #log: Log;
  #stopped = false;

  constructor(tokens: readonly ControlledToken[], combine: Combine, journal: Journal, clock: Clock, log: Log) {
    this.#combine = combine;
    this.#records = new TokenRecords(journal, clock, log);
    this.#clock = clock;
    this.#log = log;
    this.#tokens = new Map(
      tokens.map((at) => [
        at.token.name,
        {
          ...at,
          shares: undefined,
          deactivation: undefined,
          activated: undefined,
          state: at.token.state,
          busy: false,
          turn: Promise.resolve(),
        },
      ]),
    );
    for (const at of this.#tokens.values()) at.token.onChange(() => this.#changed(at));
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get views(): readonly TokenView[] {
    return [...this.#tokens.values()].map(viewOf);
  }

  /** @throws Problem `not-found` */
  view(name: string): TokenView {
    return viewOf(this.#named(name));
  }

  /**
   * Takes over the share's octets. With the last one of the threshold the token is activated.
   * @throws Problem `refused` for a share that does not fit or a person who has entered one, `conflict` when the token is active,
   *   `unavailable` when it cannot be recorded or the token cannot be reached. Nothing of a share is in it.
   */
  addShare(name: string, share: Share, person: Person): Promise<TokenView> {
    return this.#inTurn(name, async (at) => {
      await this.#dropLate(at);
      if (isCorrection(at, at.shares?.entries ?? [], share, person))
        await this.#dropShares(at, `${person.name} enters one of another set`);
      const { shares } = at;
      try {
        checkShare(at, at.shares?.entries ?? [], share, person);
      } catch (error) {
        await this.#records.failed(at.token.name, [person], (error as Problem).message);
        throw error;
      }
      const persons = [...(shares?.entries ?? []).map((entry) => entry.person), person];
      const needed = at.threshold as number;
      const description = `${persons.length} of ${needed} shares are entered`;
      await this.#records.write(at.token.name, 'token.share-entered', person.actor, description, {
        share: `${share.index}/${share.count} of set ${share.set}`,
        persons: namesOf(persons),
      });
      at.shares ??= this.#gathering<Entered>(at);
      at.shares.entries.push({ person, share });
      if (persons.length < needed) return;
      const entries = this.#takeShares(at);
      const pin = await this.#combined(at, entries, persons);
      await this.#activate(at, pin, persons);
    }).catch((error: unknown) => {
      share.octets.fill(0);
      throw error;
    });
  }

  /**
   * With a PIN that came from one place. The caller overwrites its own copy.
   * @throws Problem as Token.activate, `refused` for a token that asks for shares, `unavailable` when it cannot be recorded.
   */
  activate(name: string, pin: Uint8Array, persons: readonly Person[]): Promise<TokenView> {
    const own = Uint8Array.from(pin);
    return this.#inTurn(name, async (at) => {
      if (at.threshold !== undefined) {
        throw new Problem('refused', `token ${name} is activated by ${at.threshold} persons, each with a share`, {
          field: 'token',
          value: name,
          rule: 'CT-6.2.2, SR-6.4.1',
        });
      }
      mustNotBeActive(at.token);
      await this.#activate(at, own, persons);
    }).finally(() => own.fill(0));
  }

  /**
   * Asks for the end of the activation; the last one of the threshold brings it about (CT-6.2.9).
   * @throws Problem `conflict` when the token is not activated, `refused` for the same person twice, `unavailable` when it cannot
   *   be recorded.
   */
  deactivate(name: string, person: Person): Promise<TokenView> {
    return this.#inTurn(name, async (at) => {
      await this.#dropLate(at);
      if (at.token.state === 'inactive')
        throw new Problem('conflict', `token ${name} is not activated`, { field: 'token', value: name });
      const before = at.deactivation?.entries ?? [];
      if (before.some((other) => other.name === person.name)) {
        throw new Problem('refused', `${person.name} has asked for it already; another person must`, {
          field: 'person',
          value: person.name,
          rule: 'CT-6.2.9',
        });
      }
      const persons = [...before, person];
      const needed = at.threshold ?? 1;
      const detail = { persons: namesOf(persons) };
      if (persons.length < needed) {
        const description = `${persons.length} of ${needed} persons ask for the end of the activation`;
        await this.#records.write(at.token.name, 'token.deactivation-requested', person.actor, description, detail);
        at.deactivation ??= this.#gathering<Person>(at);
        at.deactivation.entries.push(person);
        return;
      }
      await this.#records.write(at.token.name, 'token.deactivated', person.actor, 'keys can no longer be used', detail);
      at.deactivation?.timer.cancel();
      at.deactivation = undefined;
      at.activated = undefined;
      await at.token.deactivate();
    });
  }

  /** The key pairs in a token. @throws Problem `not-found`, `unavailable` */
  keys(name: string): Promise<readonly TokenKey[]> {
    return this.#named(name).token.keys();
  }

  /** SR-6.1.1-b: the making of a key is recorded, before and with what came of it. @throws Problem as Token.generate */
  async generate(
    name: string,
    type: Parameters<Token['generate']>[0],
    label: string,
    id: Buffer,
    person: Person,
  ): Promise<TokenKey> {
    const at = this.#named(name);
    const about = { type, label, id: id.toString('hex') };
    await this.#records.write(
      at.token.name,
      'token.key-generated',
      person.actor,
      `a key pair ${label} is being made`,
      about,
    );
    const key = await at.token.generate(type, label, id);
    await this.#records.write(
      at.token.name,
      'token.key-generated',
      person.actor,
      `the key pair ${key.label} was made`,
      {
        ...about,
        publicKey: key.publicKey?.toString('base64'),
      },
    );
    return key;
  }

  /** Drops what waits, and logs out: recorded as far as the log can be written (CT-6.2.9). */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#records.stop();
    for (const at of this.#tokens.values()) {
      await at.turn;
      for (const { share } of this.#takeShares(at)) share.octets.fill(0);
      at.deactivation?.timer.cancel();
      at.busy = true;
      if (at.token.state !== 'inactive' && at.activated !== undefined) {
        await this.#records
          .write(at.token.name, 'token.deactivated', 'service', 'the service stops', {
            persons: namesOf(at.activated.persons),
          })
          .catch((error: unknown) => this.#log.error({ err: error, token: at.token.name }, 'a logout is not recorded'));
      }
      await at.token
        .deactivate()
        .catch((error: unknown) => this.#log.warn({ err: error, token: at.token.name }, 'the token did not log out'));
    }
  }

  /** Overwrites the shares. @throws Problem `refused` when they do not make the PIN. */
  async #combined(at: Controlled, entries: readonly Entered[], persons: readonly Person[]): Promise<Uint8Array> {
    let pin: Uint8Array | undefined;
    try {
      const sealed = await this.#combine(entries.map(({ share }) => share.octets));
      pin = openSealedPin(sealed, at.token.name, at.threshold as number);
      sealed.fill(0);
    } catch {
      // Shares that the combiner refuses do not belong together either; its message might quote them.
    } finally {
      for (const { share } of entries) share.octets.fill(0);
    }
    if (pin !== undefined) return pin;
    const message = 'the shares do not belong together; the token was not asked. Each is to be entered again';
    await this.#records.failed(at.token.name, persons, message);
    throw new Problem('refused', message, { field: 'share', rule: 'CT-6.2.2' });
  }

  /** Steps 3 to 5. Overwrites the PIN. */
  async #activate(at: Controlled, pin: Uint8Array, persons: readonly Person[]): Promise<void> {
    const actor = persons.map((person) => person.actor).join(', ');
    const detail = { persons: namesOf(persons), source: at.source };
    at.busy = true;
    let done = false;
    try {
      await this.#records.write(at.token.name, 'token.activating', actor, 'login to the token', detail);
      try {
        await at.token.activate(pin);
      } catch (error) {
        // A restart must know: it would spend another of the few tries that a token gives (apps/start-activation.ts).
        const pinRefused = at.token.state === 'refused';
        await this.#records.failed(at.token.name, persons, (error as Error).message, {
          ...(pinRefused && { pinRefused }),
        });
        throw error;
      }
      try {
        await this.#records.write(at.token.name, 'token.activated', actor, 'keys can be used', detail);
      } catch (error) {
        await at.token.deactivate();
        throw error;
      }
      at.activated = { at: this.#clock.now(), persons };
      // Who asked for the end of an activation did not ask for that of the next one.
      at.deactivation?.timer.cancel();
      at.deactivation = undefined;
      done = true;
      this.#log.info({ token: at.token.name, persons: detail.persons }, 'token activated');
    } finally {
      pin.fill(0);
      at.busy = false;
      // Lost again since the login: that is still to be told.
      at.state = done ? 'active' : at.token.state;
      this.#changed(at);
    }
  }

  /** What a token does by itself: it vanishes, comes back, or refuses the PIN that it took before. */
  #changed(at: Controlled): void {
    const { state } = at.token;
    const before = at.state;
    if (at.busy || state === before) return;
    at.state = state;
    const why = at.token.failure ?? '';
    if (state === 'lost' || state === 'refused')
      this.#log.error({ token: at.token.name, why }, 'the token is not usable: nothing is signed with its keys');
    if (before === 'lost' && state === 'active')
      this.#log.info({ token: at.token.name }, 'the token is back: its keys are used again');
    const detail = { persons: namesOf(at.activated?.persons ?? []) };
    if (state === 'lost') this.#records.writeLater(at.token.name, 'token.lost', why, detail);
    if (state === 'active')
      this.#records.writeLater(at.token.name, 'token.recovered', 'logged in again with the PIN of before', detail);
    if (state === 'refused') {
      at.activated = undefined;
      this.#records.writeLater(at.token.name, 'token.activation-failed', why, detail);
    }
  }

  #gathering<T>(at: Controlled): Gathering<T> {
    return {
      entries: [],
      until: this.#clock.now() + PATIENCE_MS,
      timer: this.#clock.after(PATIENCE_MS, () => {
        // Rejects only when the service stops, which drops everything itself.
        void this.#inTurn(at.token.name, () => this.#dropLate(at)).catch(() => undefined);
      }),
    };
  }

  /** In turn. Not left to the timers alone: while the machine slept they did not run. */
  async #dropLate(at: Controlled): Promise<void> {
    const now = this.#clock.now();
    const { shares, deactivation } = at;
    if (shares !== undefined && now >= shares.until) await this.#dropShares(at, 'they waited for 15 minutes');
    if (deactivation === undefined || now < deactivation.until) return;
    deactivation.timer.cancel();
    at.deactivation = undefined;
    this.#records.writeLater(at.token.name, 'token.deactivation-requested', 'the request ran out after 15 minutes', {
      persons: namesOf(deactivation.entries),
    });
  }

  async #dropShares(at: Controlled, why: string): Promise<void> {
    const entries = this.#takeShares(at);
    for (const { share } of entries) share.octets.fill(0);
    const persons = entries.map(({ person }) => person);
    await this.#records.failed(at.token.name, persons, `${persons.length} shares are dropped: ${why}`);
  }

  #takeShares(at: Controlled): readonly Entered[] {
    const { shares } = at;
    shares?.timer.cancel();
    at.shares = undefined;
    return shares?.entries ?? [];
  }

  /** @throws Problem `not-found` */
  #named(name: string): Controlled {
    const at = this.#tokens.get(name);
    if (at !== undefined) return at;
    const known = [...this.#tokens.keys()].join(', ') || 'none';
    throw new Problem('not-found', `no such token; configured: ${known}`, { field: 'token', value: name });
  }

  /** One after the other, so that two persons at the same moment are two entries. */
  async #inTurn(name: string, run: (at: Controlled) => Promise<void>): Promise<TokenView> {
    const at = this.#named(name);
    const done = at.turn.then(() => {
      if (this.#stopped) throw new Problem('unavailable', 'the service stops', { field: 'token', value: name });
      return run(at);
    });
    at.turn = done.catch(() => undefined);
    await done;
    return viewOf(at);
  }
}

function viewOf(at: Controlled): TokenView {
  const { token, source, threshold, activated, shares, deactivation } = at;
  return {
    name: token.name,
    describe: token.describe,
    state: token.state,
    failure: token.failure,
    source,
    threshold,
    activated: activated && { at: activated.at, persons: namesOf(activated.persons) },
    shares: shares && { persons: shares.entries.map(({ person }) => person.name), until: shares.until },
    deactivation: deactivation && { persons: namesOf(deactivation.entries), until: deactivation.until },
  };
}
