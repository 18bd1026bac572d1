// Which unit a name, a serial number or an address leads to.
import type { Schemas, Unit } from "../api/client";
import { DEFAULT_TCP_PORT } from "../api/device";

type Known = Pick<Schemas["UnitOut"], "name" | "serial" | "conn_key">;

/** The serial number, where the roster has it; otherwise the unit to ask for it. */
export type Meant = { serial: string } | { ask: Unit };

const folded = (text: string): string => text.normalize("NFC").toLowerCase();

/** A registered name or serial number comes before a host name of the same letters. */
export function meantBy(unit: Unit, roster: readonly Known[]): Meant {
  const word = unit.unit;
  if (word === undefined) return { ask: unit };
  const isWord = (text: string | null): boolean => text !== null && folded(text) === folded(word);
  const found = roster.find(({ name, serial }) => isWord(name) || isWord(serial));
  if (found?.serial) return { serial: found.serial };
  if (found || !/^[\w.-]+$/.test(word)) return { ask: unit };
  return { ask: { host: word, tcp_port: DEFAULT_TCP_PORT } };
}
