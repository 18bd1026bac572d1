// A unit, and what can be asked of it.
import { type Answer, ask, type Query, type Unit } from "./client";

export const DEFAULT_TCP_PORT = 12345;
export const DEFAULT_BAUD = 38400;

/** The name of a unit, as the relay has it: `unit:BE12345`, `tcp:10.0.0.5:12345`, `serial:/dev/ttyUSB0:38400`. */
export function keyOf(unit: Unit): string {
  if (unit.unit !== undefined) return `unit:${unit.unit}`;
  if (unit.host !== undefined) {
    const name = unit.host.toLowerCase();
    const host = name.includes(":") ? `[${name.replace(/^\[|\]$/g, "")}]` : name;
    return `tcp:${host}:${unit.tcp_port ?? DEFAULT_TCP_PORT}`;
  }
  return `serial:${unit.port ?? ""}:${unit.baud ?? DEFAULT_BAUD}`;
}

/** The unit of such a name; a missing number is the usual one. `null`: it is no name of a unit. */
export function unitOf(key: string): Unit | null {
  if (/^unit:./.test(key)) return { unit: key.slice("unit:".length) };
  const found = /^(tcp|serial):(\[[^\]\s]+\]|\S+?)(?::(\d+))?$/.exec(key);
  if (!found) return null;
  const [, kind, target, digits] = found as unknown as [string, string, string, string | undefined];
  if (kind === "tcp") {
    const port = digits === undefined ? DEFAULT_TCP_PORT : Number(digits);
    return port >= 1 && port <= 65535 ? { host: target, tcp_port: port } : null;
  }
  const baud = digits === undefined ? DEFAULT_BAUD : Number(digits);
  return baud >= 1 ? { port: target, baud } : null;
}

/** Whether a text has the form of a serial number: BE12345, SIM0001. */
export const readsAsSerial = (text: string): boolean => /^[a-z]{2,3}\d{4,6}$/i.test(text);

/**
 * The unit that a text spells: an address in any spelling, a serial number, a name, or a host name without a dot, which
 * reads as a name. `null`: it is empty, or begins as an address and is none.
 */
export function unitFrom(typed: string): Unit | null {
  const text = typed.trim();
  const keyed = /^(tcp|serial|unit):(?:\/\/)?(.*)$/i.exec(text);
  if (keyed) return unitOf(`${keyed[1]!.toLowerCase()}:${bracketed(keyed[2]!)}`);
  if (/^(\/dev\/.|COM\d+$|(rfc2217|telnet):\/\/.)/i.test(text)) return { port: text, baud: DEFAULT_BAUD };
  if (text === "" || text.startsWith("/")) return null;
  if (readsAsSerial(text)) return { unit: text.toUpperCase() };
  if (/\s/.test(text) || !/[.:[]/.test(text)) return { unit: text };
  return /^[^:/\s]+(:\d+)?$|^\[|:.*:/.test(text) ? unitOf(`tcp:${bracketed(text)}`) : null;
}

/** An IPv6 address as it stands before a port. */
const bracketed = (host: string): string => (/^[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*$/i.test(host) ? `[${host}]` : host);

/** Send a unit a command. Never sent twice: the caller decides whether to try again. */
export async function command<T>(
  unit: Unit,
  path: string,
  body?: unknown,
  query: Query = {},
  headers: Record<string, string> = {},
): Promise<Answer<T>> {
  return ask<T>("POST", path, { query: { ...unit, ...query }, body, headers });
}
