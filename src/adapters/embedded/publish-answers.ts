/** What publishing a batch of answers changes in the embedded store: compare-and-swap on what is there (P2). */
import type { PublishedResponse } from '../../core/certificate.ts';
import { mayReplace } from '../../core/policy/freshness.ts';
import type { PublishOutcome, QueueItem, StoreEvent } from '../../ports/store.ts';
import { decodeCertificate, decodeResponse, encodeResponse } from './records.ts';
import type { Operation } from './work-queue.ts';

export interface Answer {
  readonly response: PublishedResponse;
  readonly item: QueueItem;
}

export interface PublishedAnswers {
  /** In the order of the answers. */
  readonly outcomes: readonly PublishOutcome[];
  readonly operations: readonly Operation[];
  readonly events: readonly StoreEvent[];
  /** Items whose work is over, and those of the refreshes to come. */
  readonly done: readonly QueueItem[];
  readonly queued: readonly QueueItem[];
}

/** @param keys of each answer's certificate and of its published answer, one after the other; `values` is what is under them. */
export function publishAnswers(
  answers: readonly Answer[],
  keys: readonly Buffer[],
  values: readonly (Buffer | undefined)[],
): PublishedAnswers {
  const operations: Operation[] = [];
  const events: StoreEvent[] = [];
  const done: QueueItem[] = [];
  const queued: QueueItem[] = [];
  /** Answers of this call so far: two items of one certificate, from two lanes, may come in one call. */
  const state = new Map<string, PublishedResponse>();
  const outcomes = answers.map(({ response, item }, i): PublishOutcome => {
    const { issuer, serial } = response;
    const recorded = values[2 * i];
    const certificate = recorded && decodeCertificate(issuer, serial, recorded);
    if (certificate?.revision !== response.revision) {
      done.push(item);
      return 'superseded';
    }
    const published = values[2 * i + 1];
    const previous = state.get(issuer + serial) ?? (published && decodeResponse(issuer, serial, published));
    if (previous !== undefined && !mayReplace(response, previous)) return 'older';
    const first = previous?.revision === response.revision ? previous.publishedAt : response.publishedAt;
    const next: PublishedResponse = { ...response, publishedAt: first };
    state.set(issuer + serial, next);
    operations.push({ type: 'put', key: keys[2 * i + 1] as Buffer, value: encodeResponse(next) });
    done.push(item);
    queued.push({ issuer, serial, lane: 'refresh', dueAt: response.refreshAt });
    events.push({ type: 'published', certificate, response: next, previous });
    return 'published';
  });
  return { outcomes, operations, events, done, queued };
}
