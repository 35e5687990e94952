/** What a probe found wrong with a running service, seen from outside. */
export interface ProbeFinding {
  /** `error`: some client gets no answer, or a wrong one. `warning`: it works, but not as it should. */
  readonly severity: 'error' | 'warning';
  /** How it was asked. */
  readonly asked: string;
  readonly message: string;
  /** What in front of a responder usually does this. */
  readonly cause: string;
  readonly rule: string;
}
