export function addActions(_app: unknown, _parts: unknown): void {}
