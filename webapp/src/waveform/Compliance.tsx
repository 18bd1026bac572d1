// Peak velocity by frequency under the chosen limits, and the verdict by each of them: the report's own chart and words,
// as the relay makes them, so that screen and paper show the same. The chart is black on white, in the dark too.
import type { Schemas } from "../api/client";
import type { Resource } from "../data/resource";
import { stampOf } from "../events/stamps";
import { plainly } from "../parts/plainly";
import { Sources } from "../parts/Sources";
import { words } from "../words";
import type { WaveformForm } from "./decode";

export type Chart = Schemas["ChartOut"];

/** The chart of this event; the slot may hold another one by now, and nothing of that stands under this one's date. */
export function chartOf({ body }: Resource<Chart>, form: WaveformForm): Chart | null {
  return body && stampOf(body) === stampOf(form) ? body : null;
}

export function Compliance({ chart }: { chart: Chart | null }) {
  if (!chart) return null;
  return (
    <section class="block compliance" aria-labelledby="compliance">
      <header>
        <h2 id="compliance">{words.results.chart}</h2>
      </header>
      <figure>
        <img src={`data:image/svg+xml,${encodeURIComponent(chart.svg)}`} alt={chart.alt} />
        <figcaption>
          {chart.curves.map(({ dash, title }) => (
            <p key={title}>
              <svg width="36" height="6" aria-hidden="true">
                <path d="M0 3h36" stroke="currentColor" stroke-width="1.5" stroke-dasharray={dash.join(" ")} />
              </svg>{" "}
              {title}
            </p>
          ))}
          {chart.note && <p class="faint">{chart.note}</p>}
        </figcaption>
      </figure>
      {chart.no_verdict && <p>{plainly(chart.no_verdict)}</p>}
      <ul class="verdicts">
        {chart.verdicts.map(({ curve, outcome, title, detail, source, other }) => (
          <li key={curve}>
            <strong class={outcome === "exceeds" ? "alarm" : outcome === "complies" ? "good" : undefined}>
              {words.verdicts.outcomes[outcome]}
            </strong>{" "}
            {title}: {plainly(detail)} {other}
            <Sources text={source} />
          </li>
        ))}
      </ul>
    </section>
  );
}
