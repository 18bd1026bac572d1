// Whether a recording keeps to each chosen limit curve: with share, frequency, limit, mark and sources.
import type { Schemas } from "../api/client";
import type { Resource } from "../data/resource";
import { shareText } from "../events/verdicts";
import { plainly } from "../parts/plainly";
import { Sources } from "../parts/Sources";
import { words } from "../words";

const text = words.verdicts;
type One = Schemas["CurveVerdictOut"];

export function Verdicts({ verdicts: { body } }: { verdicts: Resource<Schemas["VerdictsOut"]> }) {
  if (!body) return null;
  return (
    <section class="block" aria-labelledby="verdicts">
      <header>
        <h2 id="verdicts">{text.title}</h2>
      </header>
      {body.verdicts.length === 0 && <p>{plainly(body.no_verdict?.detail ?? text.none)}</p>}
      <ul class="verdicts">
        {body.verdicts.map((one) => (
          <li key={one.curve}>
            <p>
              <strong class={one.outcome === "exceeds" ? "alarm" : one.outcome === "complies" ? "good" : undefined}>
                {text.outcomes[one.outcome]}
              </strong>{" "}
              {one.title}
            </p>
            <p>{sentenceOf(one)}</p>
            <Sources text={`${text.mark(one.mark)} ${one.sources.join("; ")}`} />
            {one.dispute && <p class="faint">{one.dispute}</p>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function sentenceOf(one: One): string {
  if (one.outcome === "no_verdict") return text.reason(plainly(one.reason?.detail ?? "") || text.noVerdict);
  const figure = (of: One["peak"]): string =>
    of?.value == null ? "" : `${Number(of.value.toPrecision(4))} ${of.unit}`;
  return text.sentence(
    one.channel ?? "",
    `${one.bound ?? ""}${figure(one.peak)}`,
    figure(one.frequency),
    one.limit === null ? words.app.unknown : `${Number(one.limit.toPrecision(4))} ${one.unit ?? ""}`,
    shareText(one) ?? words.app.unknown,
  );
}
