/**
 * A thread of the host: reads frames from its end of a socket pair, signs, writes answers; blocking, because a thread that does
 * nothing else needs no event loop (20 µs for the way there and back). Without the signer's process it is of no use: at the
 * end of the stream the whole host ends.
 */
import { readSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { openModule } from './module.ts';
import { SigningSession } from './signing-session.ts';
import { DEFINE, FrameSplitter, type KeyDefinition, type TokenPlace } from './wire.ts';

export interface SessionWorkerData {
  readonly fd: number;
  readonly place: TokenPlace;
}

const { fd, place } = workerData as SessionWorkerData;
const session = new SigningSession(await openModule(place));
const keys = new Map<number, KeyDefinition>();
const splitter = new FrameSplitter();
const buffer = Buffer.allocUnsafeSlow(64 << 10);

for (;;) {
  const length = readSync(fd, buffer, 0, buffer.length, null);
  if (length === 0) process.kill(process.pid, 'SIGKILL');
  // A copy: what the splitter keeps for later must not be overwritten by the next read.
  splitter.push(Buffer.from(buffer.subarray(0, length)), obey);
}

function obey(frame: Buffer): void {
  const number = frame.readUInt16BE(2);
  if (frame.readUInt8(0) === DEFINE) {
    keys.set(number, JSON.parse(frame.toString('utf8', 4)) as KeyDefinition);
    return;
  }
  const key = keys.get(number);
  if (key === undefined) throw new Error(`key ${number} was never defined`);
  const answer = session.sign(key, frame.subarray(8), frame.readUInt16BE(4));
  for (let at = 0; at < answer.length;) at += writeSync(fd, answer, at, answer.length - at);
}
