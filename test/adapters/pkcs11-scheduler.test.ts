/** The scheduler on lanes that do as the test says, and the frames between it and the sessions. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Lane } from '../../src/adapters/pkcs11/host-link.ts';
import { Scheduler, type ScheduledKey } from '../../src/adapters/pkcs11/scheduler.ts';
import {
  AnswerFrame,
  type ChunkAnswer,
  FrameSplitter,
  MAX_FRAME,
  readAnswer,
  signFrame,
  troubleFrame,
} from '../../src/adapters/pkcs11/wire.ts';
import { Problem } from '../../src/core/problem.ts';
import type { KeyUse, SignPriority, SlotMeter } from '../../src/ports/key-holder.ts';

class TestKey implements ScheduledKey {
  readonly use: KeyUse = 'ocsp';
  readonly number = 0;
  readonly definition = { spki: '', kind: 'ecdsa', hash: 'sha256', signatureOctets: 1 } as const;
  readonly inputOctets = 1;
  microseconds = 1000;
  trouble: string | undefined;
  finish = (raw: Buffer): Buffer | undefined => raw;
  proven = (): void => undefined;
  troubled = (status: string): void => void (this.trouble = status);
}

const lanes: TestLane[] = [];
// As a host does that ends: nothing waits for it.
afterEach(() => lanes.splice(0).forEach(({ chunks }) => chunks.forEach(({ reject }) => reject(new Error('over')))));

/** Collects chunks; the test answers them. */
class TestLane implements Lane {
  readonly depth = 2;
  readonly chunkUs = 5000;
  readonly chunks: { text: string; answer: (answer: ChunkAnswer) => void; reject: (error: Error) => void }[] = [];

  constructor() {
    lanes.push(this);
  }

  sign(_key: unknown, inputs: readonly Uint8Array[]): Promise<ChunkAnswer> {
    return new Promise((answer, reject) => {
      this.chunks.push({ text: Buffer.concat(inputs).toString('latin1'), answer, reject });
    });
  }

  /** Answers the oldest chunk: each input is its own signature, `!` is refused, `?` finds no token. */
  async answerOne(): Promise<string> {
    const chunk = this.chunks.shift();
    assert.ok(chunk !== undefined, 'a chunk is there');
    chunk.answer({
      status: 'answer',
      failure: undefined,
      microseconds: 1000 * chunk.text.length,
      items: [...chunk.text].map((item) =>
        item === '!'
          ? { code: 0x20, text: 'CKR_DATA_INVALID' }
          : item === '?'
            ? { code: 0x30, text: 'CKR_DEVICE_ERROR' }
            : Buffer.from(item, 'latin1'),
      ),
    });
    await new Promise((resolve) => setImmediate(resolve));
    return chunk.text;
  }
}

function begin(deadlineMs = 10_000): {
  scheduler: Scheduler;
  lane: TestLane;
  key: TestKey;
  lost: string[];
  sign: (text: string, priority?: SignPriority, by?: TestKey) => Promise<string>;
} {
  const lost: string[] = [];
  const scheduler = new Scheduler(deadlineMs, (reason) => {
    lost.push(reason);
    scheduler.detach(new Problem('unavailable', reason));
  });
  const lane = new TestLane();
  const key = new TestKey();
  scheduler.attach([lane]);
  const sign = async (text: string, priority: SignPriority = 'bulk', by = key): Promise<string> => {
    const results = await scheduler.sign(by, Buffer.from(text, 'latin1'), text.length, priority);
    return results
      .map((result) => (result.ok ? result.signature.toString('latin1') : `<${(result.error as Problem).code}>`))
      .join('');
  };
  return { scheduler, lane, key, lost, sign };
}

describe('Scheduler', () => {
  it('cuts calls into chunks of 5 ms, of several calls if need be', async () => {
    const { lane, sign } = begin();
    const calls = [sign('abcdefghijkl'), sign('m'), sign('n')];
    assert.equal(lane.chunks.length, 2, 'no more than it may have');
    const chunks: string[] = [];
    while (lane.chunks.length > 0) chunks.push(await lane.answerOne());
    assert.deepEqual(chunks, ['abcde', 'fghij', 'klmn']);
    assert.deepEqual(await Promise.all(calls), ['abcdefghijkl', 'm', 'n']);
  });

  it('tells its meter of signatures, failures, waits, busy time and sessions', async () => {
    const told = { signed: 0, failed: 0, waits: [] as number[], busyMs: 0 };
    const meter: SlotMeter = {
      sessions: 0,
      signed: (use, count) => void (use === 'crl' && (told.signed += count)),
      failed: (count) => void (told.failed += count),
      waited: (ms) => void told.waits.push(ms),
      busy: (ms) => void (told.busyMs += ms),
    };
    const scheduler = new Scheduler(10_000, () => undefined, meter);
    const lane = new TestLane();
    const key = Object.assign(new TestKey(), { use: 'crl' as const });
    scheduler.attach([lane]);
    assert.equal(meter.sessions, 1);
    const sign = (text: string): Promise<unknown> => scheduler.sign(key, Buffer.from(text), text.length, 'bulk');
    const calls = [sign('abcdefghijkl'), sign('!m')];
    await new Promise((resolve) => setTimeout(resolve, 30));
    while (lane.chunks.length > 0) await lane.answerOne();
    await Promise.all(calls);
    assert.deepEqual(
      [told.signed, told.failed, Math.round(told.busyMs)],
      [13, 1, 14],
      '1 ms each, as the session says',
    );
    assert.equal(told.waits.length, 2, 'one for each call');
    assert.ok((told.waits[0] as number) < 25 && (told.waits[1] as number) >= 25, `${told.waits} ms`);
    const late = sign('n');
    scheduler.detach(new Problem('unavailable', 'gone'));
    await assert.rejects(late);
    assert.deepEqual([told.failed, meter.sessions], [2, 0]);
  });

  it('learns how long a signature takes', async () => {
    const { lane, key, sign } = begin();
    key.microseconds = 4000;
    const call = sign('x'.repeat(100));
    const sizes: number[] = [];
    while (lane.chunks.length > 0) sizes.push((await lane.answerOne()).length);
    assert.equal(sizes[0], 1);
    assert.equal(sizes.at(-2), 5);
    assert.equal((await call).length, 100);
  });

  it('sends what is urgent before all bulk work that no session has', async () => {
    const { lane, sign } = begin();
    const calls = [sign('0123456789abcdef'), sign('U', 'urgent'), sign('V', 'urgent')];
    const chunks: string[] = [];
    while (lane.chunks.length > 0) chunks.push(await lane.answerOne());
    assert.deepEqual(chunks, ['01234', '56789', 'UV', 'abcde', 'f']);
    assert.deepEqual(await Promise.all(calls), ['0123456789abcdef', 'U', 'V']);
  });

  it('sends what a client waits for before bulk work, and after what is urgent', async () => {
    const { lane, sign } = begin();
    const calls = [sign('0123456789abcdef'), sign('L', 'live'), sign('U', 'urgent'), sign('M', 'live')];
    const chunks: string[] = [];
    while (lane.chunks.length > 0) chunks.push(await lane.answerOne());
    assert.deepEqual(chunks, ['01234', '56789', 'U', 'LM', 'abcde', 'f']);
    assert.deepEqual(await Promise.all(calls), ['0123456789abcdef', 'L', 'U', 'M']);
  });

  it('shares a call among sessions', async () => {
    const { scheduler, key } = begin();
    const two = [new TestLane(), new TestLane()];
    key.microseconds = 1;
    scheduler.attach(two);
    const call = scheduler.sign(key, Buffer.alloc(16, 'x'), 16, 'bulk');
    assert.deepEqual(
      two.map(({ chunks }) => chunks.map(({ text }) => text.length)),
      [[8], [8]],
    );
    for (const lane of two) await lane.answerOne();
    assert.equal((await call).length, 16);
  });

  it('fails one item alone', async () => {
    const { lane, lost, sign } = begin();
    const call = sign('a!c');
    await lane.answerOne();
    assert.equal(await call, 'a<refused>c');
    assert.deepEqual(lost, []);
  });

  it('fails everything at once when the token is gone, and keeps what was signed', async () => {
    const { lane, lost, sign } = begin();
    const calls = [sign('a?'), sign('?'), sign('waiting')].map((call) =>
      call.catch((error: Problem) => `rejected ${error.code}`),
    );
    await lane.answerOne();
    assert.deepEqual(await Promise.all(calls), ['a<unavailable>', 'rejected unavailable', 'rejected unavailable']);
    assert.match(lost[0] ?? '', /CKR_DEVICE_ERROR/);
  });

  it('fails what a key asked for that is not there, and no other key', async () => {
    const { lane, key, lost, sign } = begin();
    const other = new TestKey();
    const calls = [sign('a').catch((error: Problem) => error.message), sign('b', 'bulk', other)];
    lane.chunks.shift()?.answer(readAnswer(troubleFrame('key-missing', { code: 0, text: 'no such key' }).subarray(4)));
    await lane.answerOne();
    assert.deepEqual(await Promise.all(calls), ['no such key', 'b']);
    assert.equal(key.trouble, 'key-missing');
    assert.equal(other.trouble, undefined);
    assert.deepEqual(lost, []);
  });

  it('reports a session that does not answer in time, and settles', async () => {
    const { lost, sign } = begin(50);
    await assert.rejects(Promise.all([sign('a'), sign('b'.repeat(100))]), { code: 'unavailable' });
    assert.equal(lost.length, 1);
  });

  it('does not let bulk work wait for ever behind urgent work', async () => {
    const { lane, lost, sign } = begin(200);
    // On a slow machine the urgent ones too may have waited for too long in the end: two are added for each that is answered.
    const ended = (call: ReturnType<typeof sign>): Promise<string> =>
      call.then(String, (error: Problem) => error.message);
    const results = [ended(sign('b'.repeat(20)))];
    let settled = false;
    void Promise.all(results).then(() => (settled = true));
    while (!settled) {
      results.push(ended(sign('UUUUU', 'urgent')), ended(sign('UUUUU', 'urgent')));
      await lane.answerOne();
    }
    // What reached the token is signed; the rest failed by itself.
    assert.match((await results[0]) ?? '', /^b{10}(<unavailable>){10}$/);
    assert.deepEqual(lost, []);
    while (lane.chunks.length > 0) await lane.answerOne();
    await Promise.all(results);
  });

  it('ends the work of one key', async () => {
    const { scheduler, lane, key, sign } = begin();
    const other = new TestKey();
    const calls = [sign('a').catch((error: Problem) => error.message), sign('b', 'bulk', other)];
    scheduler.drop(key, new Problem('unavailable', 'closed'));
    while (lane.chunks.length > 0) await lane.answerOne();
    assert.deepEqual(await Promise.all(calls), ['closed', 'b']);
  });
});

describe('frames', () => {
  it('arrive whole however the stream is cut', () => {
    const answer = new AnswerFrame();
    answer.begin();
    answer.room(3).write('sig');
    answer.signed(3);
    answer.failed({ code: 0x20, text: 'CKR_DATA_INVALID' });
    answer.failed({ code: 0, text: 'no return value' });
    const stream = Buffer.concat([answer.finish(12.6), troubleFrame('key-wrong', { code: 7, text: 'not ours' })]);
    for (let size = 1; size <= stream.length; size++) {
      const splitter = new FrameSplitter();
      const read: ChunkAnswer[] = [];
      for (let at = 0; at < stream.length; at += size)
        splitter.push(stream.subarray(at, at + size), (frame) => read.push(readAnswer(frame)));
      assert.deepEqual(read, [
        {
          status: 'answer',
          failure: undefined,
          microseconds: 13,
          items: [
            Buffer.from('sig'),
            { code: 0x20, text: 'CKR_DATA_INVALID' },
            { code: 0xffff_ffff, text: 'no return value' },
          ],
        },
        { status: 'key-wrong', failure: { code: 7, text: 'not ours' }, microseconds: 0, items: [] },
      ]);
    }
  });

  it('are refused when they cannot be ours', () => {
    const long = Buffer.alloc(8);
    long.writeUInt32BE(MAX_FRAME + 1);
    assert.throws(() => new FrameSplitter().push(long, () => undefined), RangeError);
    assert.throws(() => readAnswer(Buffer.from([9, 0, 0, 0])), RangeError);
    assert.throws(() => readAnswer(Buffer.from('0000000100000000', 'hex')), RangeError);
    assert.throws(() => readAnswer(signFrame(0, [Buffer.alloc(3)], 1, 3)), RangeError);
  });
});
