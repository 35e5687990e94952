/** What a check found. An `error` keeps the object from being published; a `warning` is reported; a `notice` is only shown. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'notice';
  /** Id of the rule, e.g. `O-04`, `C-09`, `CT-4.9.10-b`. */
  readonly rule: string;
  /** Where the rule stands, e.g. `RFC 6960 §4.2.2.1`. */
  readonly citation: string;
  /** What is wrong with this object, with the value found and the value allowed. */
  readonly message: string;
}
