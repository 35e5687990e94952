/** A range of LevelDB page by page: its iterators stay usable while others write, and each page is read off the event loop. */

/** At most; an iterator ends a page at 16 KiB too (its highWaterMarkBytes), so that decoding one takes a fraction of a millisecond. */
const PAGE = 1000;

/** @param iterator of entries, keys or values; closed at the end. */
export async function* pages<E, T>(
  iterator: { nextv(size: number): Promise<E[]>; close(): Promise<void> },
  decode: (entry: E) => T,
): AsyncGenerator<readonly T[]> {
  try {
    for (;;) {
      const entries = await iterator.nextv(PAGE);
      if (entries.length === 0) return;
      yield entries.map(decode);
    }
  } finally {
    await iterator.close();
  }
}
