/** What the audit log has of a token: who did what with it, and what it did by itself (P8, CT-6.2.8). */
import type { JournalEntryType } from '../../core/journal-record.ts';
import { rfc3339, SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Log } from '../log.ts';

/** A record of what a token did by itself that could not be written is tried again. */
const RECORD_RETRY_MS = 30 * SECOND;

/** Who does it: `name` tells persons apart, `actor` is for the audit log. */
export interface Person {
  readonly name: string;
  readonly actor: string;
}

export function namesOf(persons: readonly Person[]): readonly string[] {
  return persons.map(({ name }) => name);
}

export class TokenRecords {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  #stopped = false;

  constructor(journal: Journal, clock: Clock, log: Log) {
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
  }

  /** From here on nothing is tried again. */
  stop(): void {
    this.#stopped = true;
  }

  /** Durable when it resolves. @param eventAt when it happened, where that was before now. */
  async write(
    token: string,
    type: JournalEntryType,
    actor: string,
    description: string,
    detail: object,
    eventAt?: EpochMs,
  ): Promise<void> {
    await this.#journal.append([
      {
        type,
        actor,
        ...(eventAt !== undefined && { eventAt: rfc3339(eventAt) }),
        description: `token ${token}: ${description}`,
        detail: { token, ...detail },
      },
    ]);
  }

  /** It has happened already: the record follows as soon as it can be written. */
  writeLater(token: string, type: JournalEntryType, description: string, detail: object): void {
    if (this.#stopped) return;
    const happened = this.#clock.now();
    const attempt = (): void => {
      this.write(token, type, 'signer', description, detail, happened).catch(() => {
        if (!this.#stopped) this.#clock.after(RECORD_RETRY_MS, attempt);
      });
    };
    attempt();
  }

  /** Never rejects: what failed has failed, and a log that cannot be written says so itself. */
  async failed(token: string, persons: readonly Person[], why: string, detail: object = {}): Promise<void> {
    const actor = persons.map((person) => person.actor).join(', ');
    this.#log.warn({ token, persons: namesOf(persons), why }, 'the token is not activated');
    await this.write(token, 'token.activation-failed', actor, why, { persons: namesOf(persons), ...detail }).catch(
      (error: unknown) => this.#log.error({ err: error }, 'a failed activation is not recorded'),
    );
  }
}
