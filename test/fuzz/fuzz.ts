/** The search itself: conversations from a seed, each on every listener, with revocations in between. */
import { makeRandom } from '../support/random.ts';
import { Generator, type Conversation } from './generate.ts';
import { HANG, Play, type Played } from './player.ts';
import type { Target, World } from './world.ts';

export interface Fuzzed {
  readonly requests: number;
  /** Replies by word, for each listener. */
  readonly tally: ReadonlyMap<string, Map<string, number>>;
  /** Described with seed and octets; empty when all went well. */
  readonly faults: readonly string[];
}

export interface FuzzOptions {
  readonly seed: number;
  /** At least so many, each sent to every listener. */
  readonly requests: number;
  /** Certificates to be revoked meanwhile, evenly; as many as there are at most. Default 200. */
  readonly revocations?: number;
  /** The search ends when so many faults have been found. Default 1. */
  readonly faults?: number;
  /** Called now and then with how many requests are done. */
  readonly progress?: (done: number) => void;
  /** Called at once with each fault, before it is made smaller. */
  readonly note?: (fault: string) => void;
}

/** Conversations under way at a time. */
const AT_ONCE = 12;
const WATCH_MS = 1000;

export async function fuzz(
  world: World,
  { seed, requests, faults: most = 1, revocations: many = 200, progress, note }: FuzzOptions,
): Promise<Fuzzed> {
  const generator = new Generator(makeRandom(seed), world.material);
  const tally = new Map(world.targets.map(({ name }) => [name, new Map<string, number>()]));
  const faults: string[] = [];
  const playing = new Set<Play>();
  let [done, index] = [0, 0];
  let failed: unknown;
  const watch = setInterval(() => {
    const now = Date.now();
    for (const one of playing) one.checkClock(now);
    progress?.(done);
    for (const { service } of world.places)
      if (!isAlive(service.pid)) failed ??= new Error(`the service ended:\n${service.log.slice(-2000)}`);
  }, WATCH_MS);
  const perform = (target: Target, conversation: Conversation): Promise<Played & { readonly story: string }> =>
    new Promise((settle) => {
      const one: Play = new Play(world, target, conversation, (played) => {
        playing.delete(one);
        settle({ ...played, story: played.fault === undefined ? '' : one.describe() });
      });
      playing.add(one);
      one.start();
    });
  // Spread over the whole search: from each acknowledgement on, `good` is a fault.
  const revocations = revokeNowAndThen(world, () => (many * done) / requests);
  const worker = async (): Promise<void> => {
    while (done < requests && faults.length < most && failed === undefined) {
      const conversation = generator.conversation();
      const number = index++;
      const played = await Promise.all(world.targets.map((target) => perform(target, conversation)));
      for (const [i, { fault, replies, story }] of played.entries()) {
        const target = world.targets[i] as Target;
        const words = tally.get(target.name) as Map<string, number>;
        for (const word of replies) words.set(word, (words.get(word) ?? 0) + 1);
        if (fault === undefined) continue;
        note?.(`seed ${seed}, conversation ${number}: ${fault}\n${story}`);
        // A hang takes its time with every try.
        const smaller = fault.startsWith(HANG)
          ? conversation
          : await shrink(conversation, async (tried) => (await perform(target, tried)).fault !== undefined);
        const again = await perform(target, smaller);
        faults.push(
          `seed ${seed}, conversation ${number}: ${fault}\n${story}\n` +
            (again.fault === undefined
              ? 'alone it goes well'
              : `alone, as small as found: ${again.fault}\n${again.story}`),
        );
      }
      done += conversation.requests.length;
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    revocations.end();
    await revocations.ended;
  } finally {
    clearInterval(watch);
  }
  if (failed !== undefined) throw failed as Error;
  return { requests: done, tally, faults };
}

function revokeNowAndThen(world: World, due: () => number): { end(): void; readonly ended: Promise<void> } {
  let over = false;
  const run = async (): Promise<void> => {
    for (let count = 0; !over;) {
      if (count >= due()) await new Promise((resolve) => setTimeout(resolve, 20));
      else if (await world.revokeNext()) count++;
      else return;
    }
  };
  const ended = run();
  // Awaited at the end of the search; until then a failure is not lost.
  ended.catch(() => undefined);
  return { end: () => (over = true), ended };
}

/** Leaves out one request after the other, then the cuts, as long as it still fails. */
async function shrink(
  conversation: Conversation,
  fails: (tried: Conversation) => Promise<boolean>,
): Promise<Conversation> {
  let best = conversation;
  const inOne = (requests: readonly Buffer[]): Conversation => ({
    requests,
    cuts: [requests.reduce((sum, { length }) => sum + length, 0)],
    pauses: [],
    ending: conversation.ending,
  });
  for (let left = conversation.requests.length - 1; left >= 0 && best.requests.length > 1; left--) {
    const tried = inOne(best.requests.filter((_, i) => i !== left));
    if (await fails(tried)) best = tried;
  }
  const whole = inOne(best.requests);
  return best !== conversation || (await fails(whole)) ? whole : best;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
