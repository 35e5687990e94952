/**
 * One line about a long job: how much is done, how fast, how long it will take. On a terminal the line is rewritten in
 * place; elsewhere a new one is written every ten seconds. A job that ends sooner says nothing.
 */

/** What the job knows of itself. `done` and `total` share a unit, which may be finer than items (bytes of a file). */
export interface JobProgress {
  /** Things worth counting: rows, certificates, entries. */
  readonly items: number;
  readonly done: number;
  readonly total: number | undefined;
}

export interface ProgressLine {
  /** Cheap; call it after each page. */
  update(progress: JobProgress): void;
  /** Takes the line off the terminal, so that what is written next starts clean. */
  end(): void;
}

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * @param label what the job does, e.g. `import index`.
 * @param noun what the items are, e.g. `rows`.
 * @param now milliseconds of any clock that does not step, so that a rate is never negative.
 */
export function startProgress(
  label: string,
  noun: string,
  output: ProgressOutput = process.stderr,
  now: () => number = monotonic,
): ProgressLine {
  const startedAt = now();
  const interval = output.isTTY ? TTY_INTERVAL_MS : LOG_INTERVAL_MS;
  let shownAt = startedAt;
  let shown = false;
  return {
    update(progress) {
      const at = now();
      if (at - shownAt < interval) return;
      shownAt = at;
      shown = true;
      const line = progressLine(label, noun, progress, at - startedAt);
      output.write(output.isTTY ? `\r${line.slice(0, (output.columns ?? 80) - 1)}${CLEAR_TO_END}` : `${line}\n`);
    },
    end() {
      if (shown && output.isTTY) output.write(`\r${CLEAR_TO_END}`);
      shown = false;
    },
  };
}

/** For what only whoever works on it can tell: how long it has taken. `waiting` says for what. @returns takes it off the terminal. */
export function startWaiting(
  waiting: () => string,
  output: ProgressOutput = process.stderr,
  now: () => number = monotonic,
): () => void {
  const startedAt = now();
  let shown = false;
  const timer = setInterval(
    () => {
      shown = true;
      const line = `${waiting()}, ${duration((now() - startedAt) / 1000)}`;
      output.write(output.isTTY ? `\r${line.slice(0, (output.columns ?? 80) - 1)}${CLEAR_TO_END}` : `${line}\n`);
    },
    output.isTTY ? WAITING_TTY_INTERVAL_MS : LOG_INTERVAL_MS,
  );
  return () => {
    clearInterval(timer);
    if (shown && output.isTTY) output.write(`\r${CLEAR_TO_END}`);
  };
}

/** `import index: 1,200,000 rows, 40 %, 400,000 rows/s, 5 s left` */
export function progressLine(
  label: string,
  noun: string,
  { items, done, total }: JobProgress,
  elapsedMs: number,
): string {
  const seconds = elapsedMs / 1000;
  const parts = [`${label}: ${count(items)} ${noun}`];
  if (total !== undefined && total > 0) parts.push(`${Math.floor((100 * Math.min(done, total)) / total)} %`);
  if (seconds > 0) parts.push(`${count(items / seconds)} ${noun}/s`);
  if (total !== undefined && done > 0 && done <= total)
    parts.push(`${duration(((total - done) * seconds) / done)} left`);
  return parts.join(', ');
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function monotonic(): number {
  return performance.now();
}

const TTY_INTERVAL_MS = 200;
const WAITING_TTY_INTERVAL_MS = 1000;
const LOG_INTERVAL_MS = 10_000;
const CLEAR_TO_END = '\u001b[K';
