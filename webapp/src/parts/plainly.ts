// What the relay reports, in words of those who use the app: the API's own parameters and insides mean nothing to them.
import { words } from "../words";

/** Words that help only those who know the relay's insides. */
const INSIDES = /\b(epochs?|exchanges?|slots?|SUB|SFM_\w+|0x[0-9a-f]+|TypeError|errno|seismo-relay \w+|GET \/\w+)\b/i;

/** The number of a command on the wire, behind its name. */
const COMMAND_NUMBER = / \([0-9A-F]{2}\)/g;

/** Return the sentences of a report that say something to a technician; empty: none do. */
export function plainly(report: string): string {
  return report
    .replace(COMMAND_NUMBER, "")
    .replace(/\bPOLL\b/g, words.trouble.firstCall)
    .replace(/\bforce=true\b/g, words.trouble.aForcedRead)
    .split(/(?<=\.) /)
    .map((sentence) => upToInsides(sentence.split("; ")))
    .filter(Boolean)
    .join(" ");
}

/** What follows an unknown word in its sentence is about it. */
function upToInsides(parts: string[]): string {
  const end = parts.findIndex((part) => INSIDES.test(part));
  return (end < 0 ? parts : parts.slice(0, end)).join("; ");
}
