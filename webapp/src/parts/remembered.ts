// What this browser remembers for the next visit. It may be switched off, or full: then nothing is remembered.

const PREFIX = "seismo-relay.";

export function storedText(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** One of the given words, if that is what is remembered. */
export function stored<T extends string>(name: string, among: readonly T[]): T | null {
  const found = storedText(name);
  return among.find((one) => one === found) ?? null;
}

export function store(name: string, text: string): void {
  try {
    localStorage.setItem(PREFIX + name, text);
  } catch {
    // Nothing depends on it.
  }
}

/** What this tab remembers until it is closed. */
export function ofSession(name: string): string | null {
  try {
    return sessionStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function forSession(name: string, text: string): void {
  try {
    sessionStorage.setItem(PREFIX + name, text);
  } catch {
    // Nothing depends on it.
  }
}
