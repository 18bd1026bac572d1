import { wordsOfViews } from "../words.views";

const { common } = wordsOfViews;

/** What was made by a simulation says so, wherever it is shown. */
export function Simulated({ why = common.simulatedWhy }: { why?: string }) {
  return (
    <p class="simulated">
      <strong>{common.simulated}</strong> {why}
    </p>
  );
}
