/** Structured logs: JSON lines on standard error, standard output being for what a command prints. Never one line per request. */
import pino from 'pino';

/** What is kept for a while when standard error takes nothing, in octets; what comes beyond it is lost. */
const HELD = 1 << 20;

export function makeLog(level: string): pino.Logger {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: HELD });
  // A full disk under the log, a pipe that nobody reads or a terminal that is gone must not end the service.
  destination.on('error', () => undefined);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}
