/** The machine's clock. Its timers do not keep the process alive: sockets and work do. */
import type { Clock, SteadyClock } from '../../ports/clock.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

export const steadyClock: SteadyClock = { steadyMs: () => performance.now() };
