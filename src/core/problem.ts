/**
 * What went wrong, in a form that a person can act on and a program can count.
 *
 * A Problem names the field, the value and the rule. `code` is a member of a closed list: it is the metric label, the
 * `type` of an `application/problem+json` body and what tests match; the message is for people and may change.
 * Thrown on cold paths only (configuration, intake, import, commands); answering a request never throws.
 */
export class Problem extends Error {
  readonly code: ProblemCode;
  /** Where: a JSON pointer, a configuration key, a file with line or offset. */
  readonly field: string | undefined;
  /** What stood there, shortened to 80 characters. */
  readonly value: string | undefined;
  /** The id or citation of the rule that refuses it, e.g. `CT-7.2-c` or `RFC 5280 §4.1.2.2`. */
  readonly rule: string | undefined;

  constructor(code: ProblemCode, message: string, at: Where = {}) {
    super(message);
    this.name = 'Problem';
    this.code = code;
    this.field = at.field;
    this.value = at.value === undefined ? undefined : shorten(at.value);
    this.rule = at.rule;
  }

  /** One line for a terminal or a log: `field = value: message (rule)`. */
  get line(): string {
    const where =
      this.field === undefined ? '' : this.value === undefined ? `${this.field}: ` : `${this.field} = ${this.value}: `;
    return `${where}${this.message}${this.rule === undefined ? '' : ` (${this.rule})`}`;
  }

  /** The same problem, seen from the container that holds the field: `/0` becomes `/revocations/0`. */
  within(prefix: string): Problem {
    const { code, message, field = '', value, rule } = this;
    return new Problem(code, message, { field: `${prefix}${field}`, value, rule });
  }
}

interface Where {
  readonly field?: string | undefined;
  readonly value?: unknown;
  readonly rule?: string | undefined;
}

/** The closed list. HTTP status of the intake in the comment. */
export type ProblemCode =
  | 'invalid' // 400: does not parse, or breaks a rule on its own
  | 'forbidden' // 403: this client may not do this to this issuer
  | 'not-found' // 404: no such issuer, serial, receipt
  | 'conflict' // 409: contradicts what is recorded
  | 'too-large' // 413: over a stated limit
  | 'refused' // 422: well-formed, but the profile's document forbids it
  | 'unavailable' // 503: cannot be made durable, or cannot be signed, now; try again
  | 'corrupt' // a stored file or record is not what was written
  | 'config'; // configuration refused at start

function shorten(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  const printable = text.replace(/[\u0000-\u001f\u007f]/g, '?');
  return printable.length <= 80 ? printable : `${printable.slice(0, 77)}...`;
}
