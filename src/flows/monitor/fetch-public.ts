/** What the public port gives to a client, asked for as one: over HTTP, from outside. */
import { readHttpAnswer, type HttpAnswer } from '../../core/probe/http-answer.ts';
import { Problem } from '../../core/problem.ts';
import { MINUTE } from '../../core/time.ts';
import type { Wire } from '../../ports/wire.ts';

/** Where to connect, and what to ask for there. */
export interface PublicAddress {
  readonly host: string;
  readonly port: number;
  /** Of the Host header: as in the URLs of certificates. */
  readonly authority: string;
  readonly path: string;
}

/** Larger than any CRL that this program reads. */
const MOST_OCTETS = (256 << 20) + (64 << 10);

/** @throws Problem `unavailable` when nobody answers, or not in HTTP. */
export async function fetchPublic(wire: Wire, at: PublicAddress, fields: readonly string[] = []): Promise<HttpAnswer> {
  const head = [`GET ${at.path} HTTP/1.1`, `Host: ${at.authority}`, 'Connection: close', ...fields];
  const { octets } = await wire.exchange({
    host: at.host,
    port: at.port,
    octets: Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'),
    isWhole: (some) => readHttpAnswer(some, false, false) !== undefined,
    closeWithinMs: 0,
    mostOctets: MOST_OCTETS,
    withinMs: 2 * MINUTE,
  });
  const answer = readHttpAnswer(octets, false, true);
  if (answer === undefined || answer === 'not-http')
    throw new Problem('unavailable', 'no whole HTTP answer', {
      field: 'url',
      value: `http://${at.authority}${at.path}`,
    });
  return answer;
}
