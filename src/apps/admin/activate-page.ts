export function addActivate(_app: unknown, _parts: unknown): void {}
