import { words } from "../words";

/** What was made by a simulation says so, wherever it is shown. */
export function Simulated({ why = words.archive.simulatedWhy }: { why?: string }) {
  return (
    <p class="simulated">
      <strong>{words.app.simulated}</strong> {why}
    </p>
  );
}
