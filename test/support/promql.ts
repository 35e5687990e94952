/** What expressions of Prometheus name: enough of PromQL to hold rules and dashboards against the metrics that exist. */

export interface Named {
  /** Ours, without _bucket, _sum and _count. */
  readonly metrics: ReadonlySet<string>;
  /** Recorded by a rule: those with a colon. */
  readonly recorded: ReadonlySet<string>;
  /** `metric label` of every selector. */
  readonly labels: ReadonlySet<string>;
}

export function namedIn(exprs: Iterable<string>): Named {
  const [metrics, recorded, labels] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const expr of exprs) {
    for (const [, name, selector] of expr.matchAll(/([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?/g)) {
      if (name === undefined || !name.includes('certstatus')) continue;
      if (name.includes(':')) {
        recorded.add(name);
        continue;
      }
      // A string that is compared with, as "certstatus" in job="certstatus".
      if (!name.startsWith('certstatus_')) continue;
      const metric = baseName(name);
      metrics.add(metric);
      for (const [, label] of (selector ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) labels.add(`${metric} ${label}`);
    }
  }
  return { metrics, recorded, labels };
}

export function baseName(name: string): string {
  return name.replace(/_(bucket|sum|count)$/, '');
}
