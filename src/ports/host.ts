/** The machine, as far as its gauges go. */
export interface Host {
  /** Octets that this process may still write to the disk of the directory. @throws when it cannot be looked at */
  freeBytes(directory: string): Promise<number>;
  /** Octets of the files in the directory. @throws when it cannot be looked at */
  filesBytes(directory: string): Promise<number>;
}

/** Another clock. */
export interface TimeSource {
  /** For people, as configured: `ntp1.example.com:123`. */
  readonly describe: string;
  /** How much this machine's clock is ahead of it, in milliseconds. @throws Problem `unavailable` when it does not say. */
  aheadMs(): Promise<number>;
}
