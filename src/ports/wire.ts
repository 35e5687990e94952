/** Octets to somebody else's server and back, with nothing in between that mends or hides anything. */

export interface Sent {
  readonly host: string;
  readonly port: number;
  readonly octets: Uint8Array;
  /** Whether what has come so far is all there is to it; asked again with each arrival. */
  isWhole(received: Buffer): boolean;
  /** How long the other side may take to close once the answer is whole (ms); 0: nobody waits for that. */
  readonly closeWithinMs: number;
  /** Of what is received; 1 MiB when absent. What goes on for ever is cut off. */
  readonly mostOctets?: number;
  /** Between connecting and the last octet (ms); 10 s when absent. */
  readonly withinMs?: number;
}

export interface Received {
  readonly octets: Buffer;
  /** The other side closed, in time. */
  readonly closed: boolean;
}

export interface Wire {
  /** One connection, one exchange. @throws Problem `unavailable` when there is no connection, or nothing comes in time. */
  exchange(sent: Sent): Promise<Received>;
}
