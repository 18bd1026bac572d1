/** Return a name for a saved file: what is simulated says so, and nothing in it leads out of a folder. */
export function fileName(
  of: { serial: string | null; timestamp: string | null; key: string; simulated: boolean },
  ending: string,
): string {
  const parts = [
    ...(of.simulated ? ["SIMULATED"] : []),
    of.serial ?? "unknown-unit",
    of.timestamp ?? "unknown-time",
    of.key,
  ];
  return `${parts.join("_").replace(/[^A-Za-z0-9._-]/g, "-")}.${ending}`;
}
