import type { ProblemCode } from '../core/problem.ts';

/** What a Problem is as an answer of the private ports. */
export const HTTP_STATUS: Readonly<Record<ProblemCode, number>> = {
  invalid: 400,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  refused: 422,
  unavailable: 503,
  corrupt: 500,
  config: 500,
};
