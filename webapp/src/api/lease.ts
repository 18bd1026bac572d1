/** How often a tab says that it still follows a stream. */
export const LEASE_MS = 20_000;
