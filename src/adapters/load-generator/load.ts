/** What a load is and what comes of it: the words between the generator, its processes and its callers. Plain data. */

export interface Load {
  readonly host: string;
  readonly port: number;
  /** As question-file.ts writes it. */
  readonly requests: string;
  /** 32-bit little-endian numbers of requests, in the order in which they are sent; undefined: each in its turn. */
  readonly draw: string | undefined;
  /** Which of that order is the first. */
  readonly first: number;
  readonly connections: number;
  /** False: a connection for each request. */
  readonly keep: boolean;
  /** Requests offered per second, whatever the replies do; undefined: each connection asks again when it has its reply. */
  readonly rate: number | undefined;
  /** It ends after so many seconds, or so many requests, whichever comes first. */
  readonly seconds: number;
  readonly count: number | undefined;
  readonly expected: Expected;
}

export interface Expected {
  readonly status: number;
  /** `answer`: a successful OCSPResponse that names the serial asked about; else exactly these octets, in hex, or those of `or`. */
  readonly body: 'answer' | { readonly hex: string; readonly or?: string };
}

export interface LoadResult {
  /** Replies that were as expected. */
  readonly right: number;
  readonly seconds: number;
  /** Octets of these replies, heads and bodies. */
  readonly octets: number;
  /** What went wrong, and how often: wrong replies, broken connections, time-outs. */
  readonly failures: ReadonlyMap<string, number>;
  /**
   * Buckets of a LatencyHistogram, microseconds, of the right replies: from sending; at a fixed rate from when it should have been
   * sent, so that a server that stalls is charged for everybody who would have asked meanwhile.
   */
  readonly latency: Float64Array;
  /** Likewise: how late a request went out though a connection was free: what of the latency is the generator's own. */
  readonly lateness: Float64Array;
  /** Some of the replies, whole. */
  readonly samples: readonly Sample[];
  /** CPU time of the generator, seconds. */
  readonly cpuSeconds: number;
}

export interface Sample {
  readonly serial: Uint8Array;
  readonly body: Uint8Array;
}
