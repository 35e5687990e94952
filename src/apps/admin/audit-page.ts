export function addAuditPage(_app: unknown, _parts: unknown): void {}
