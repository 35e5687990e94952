export function addCertificatePage(_app: unknown, _parts: unknown): void {}
