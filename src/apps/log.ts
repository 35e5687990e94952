/** Structured logs: JSON lines on standard error, standard output being for what a command prints. Never one line per request. */
import pino from 'pino';

export function makeLog(level: string): pino.Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
