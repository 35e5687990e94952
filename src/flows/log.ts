/** What flows ask of a logger: pino fits. Never a client's address, never a key (design decision 13). */
export interface Log {
  debug(about: object, message: string): void;
  info(about: object, message: string): void;
  warn(about: object, message: string): void;
  error(about: object, message: string): void;
}
