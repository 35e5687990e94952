/** What `--help` teaches about a command, beside its arguments and options. */
export interface Lesson {
  /** What it does, in two sentences. */
  readonly about: string;
  readonly when: string;
  /** Run as they stand, in a directory where `npm start` has made ./data. */
  readonly examples: readonly Example[];
  readonly prints: string;
  /** Exit codes, where they say more than done, failed and wrong usage. */
  readonly exits?: string;
  /** Where to read more: a path below the package, or another command. */
  readonly more?: string;
}

export interface Example {
  readonly run: string;
  readonly does?: string;
  /** Why it cannot run beside a demo CA: it needs an HSM, a second person, a service that stands still. */
  readonly apart?: string;
}

/** By the words that a person types: `crl list`. */
export type Lessons = Readonly<Record<string, Lesson>>;
