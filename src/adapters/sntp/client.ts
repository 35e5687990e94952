/**
 * A client of the Simple Network Time Protocol (RFC 4330 §5, RFC 5905 §14): what time another machine says that it is. It sets no
 * clock. A few questions, of which the one that was answered soonest counts: its error is at most half of the round trip.
 *
 * The question holds nothing but random octets in its transmit timestamp, which the answer must repeat: so a stranger who cannot see
 * the question cannot answer it.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { Problem } from '../../core/problem.ts';
import type { Clock, SteadyClock } from '../../ports/clock.ts';
import type { TimeSource } from '../../ports/host.ts';

const QUESTIONS = 3;
const PATIENCE_MS = 2000;
const OCTETS = 48;
/** Leap indicator 0, version 4, mode 3 (client). */
const CLIENT = (4 << 3) | 3;
const MODE_SERVER = 4;
/** The server says that it has no time itself. */
const LEAP_UNKNOWN = 3;
const MOST_STRATUM = 15;
/** Seconds from 1900 to 1970. */
const TO_1970 = 2_208_988_800;
const ERA_SECONDS = 2 ** 32;

export interface SntpOptions {
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  readonly steady: SteadyClock;
  /** For each question; 2 s when absent. */
  readonly patienceMs?: number;
}

interface Answer {
  readonly aheadMs: number;
  readonly roundTripMs: number;
}

export function sntpSource(options: SntpOptions): TimeSource {
  const describe = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`;
  return {
    describe,
    async aheadMs() {
      const answers: Answer[] = [];
      let failure = 'no answer';
      for (let i = 0; i < QUESTIONS; i++) {
        try {
          answers.push(await ask(options));
        } catch (error) {
          failure = (error as Error).message;
          // One that answers nothing is not asked again at once, and one that says no must not be (RFC 4330 §10).
          break;
        }
      }
      const [best] = answers.sort((a, b) => a.roundTripMs - b.roundTripMs);
      if (best === undefined) throw new Problem('unavailable', failure, { field: 'clock.ntp', value: describe });
      return best.aheadMs;
    },
  };
}

async function ask({ host, port, clock, steady, patienceMs = PATIENCE_MS }: SntpOptions): Promise<Answer> {
  const { address, family } = await lookup(host);
  const question = Buffer.alloc(OCTETS);
  question[0] = CLIENT;
  const cookie = randomBytes(8);
  cookie.copy(question, 40);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${patienceMs} ms`)), patienceMs);
      let sentAt = 0;
      let sentSteady = 0;
      socket.on('error', reject);
      socket.on('message', (answer, from) => {
        const roundTripMs = steady.steadyMs() - sentSteady;
        // Somebody else's, or an answer to somebody else's question.
        if (from.address !== address || from.port !== port) return;
        if (answer.length < OCTETS || !answer.subarray(24, 32).equals(cookie)) return;
        clearTimeout(timer);
        const why = refusal(answer);
        if (why !== undefined) return reject(new Error(why));
        // RFC 5905 §8: offset = ((T2 - T1) + (T3 - T4)) / 2, where T4 is counted from T1 by a clock that nobody sets meanwhile.
        const received = instant(answer, 32, sentAt);
        const transmitted = instant(answer, 40, sentAt);
        const offset = (received - sentAt + (transmitted - (sentAt + roundTripMs))) / 2;
        resolve({ aheadMs: -offset, roundTripMs });
      });
      socket.send(question, port, address, (error) => {
        if (error !== null) reject(error);
      });
      sentAt = clock.now();
      sentSteady = steady.steadyMs();
    });
  } finally {
    socket.close();
  }
}

/** Why the answer says nothing about the time (RFC 4330 §5). */
function refusal(answer: Buffer): string | undefined {
  const head = answer[0] as number;
  const stratum = answer[1] as number;
  if ((head & 7) !== MODE_SERVER) return `an answer of mode ${head & 7}, which is no server's`;
  if (stratum === 0) return `the server refuses: ${answer.toString('latin1', 12, 16).replace(/[^ -~]/g, '?')}`;
  if (stratum > MOST_STRATUM || head >> 6 === LEAP_UNKNOWN) return 'the server has no time itself';
  if (answer.readBigUInt64BE(40) === 0n) return 'the server sent no time';
  return undefined;
}

/** Milliseconds since 1970 of a timestamp in the era that is nearest to now: era 0 ends in 2036 (RFC 4330 §3). */
function instant(answer: Buffer, at: number, nearMs: number): number {
  const seconds = answer.readUInt32BE(at) - TO_1970;
  const eras = Math.round((nearMs / 1000 - seconds) / ERA_SECONDS);
  return (seconds + eras * ERA_SECONDS) * 1000 + (answer.readUInt32BE(at + 4) / ERA_SECONDS) * 1000;
}
