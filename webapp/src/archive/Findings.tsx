// What the relay noticed about a recording: other content under its stamp, damage, repair.
import type { Schemas } from "../api/client";
import { serverTime } from "../parts/time";
import { Trouble } from "../parts/Trouble";
import { words } from "../words";
import { useAsked } from "../parts/asked";

const text = words.archive;
/** The most that the relay gives at once; it knows findings of all recordings, the latest first. */
const MOST = 1000;

export function Findings({ id }: { id: string }) {
  const { body, problem, again } = useAsked<Schemas["FindingsOut"]>("/archive/findings", { limit: MOST });
  if (problem?.kind === "not-allowed") return <p>{text.noRight}</p>;
  if (problem) return <Trouble problem={problem} retry={again} />;
  if (!body) return <p>{words.fresh.reading}</p>;
  const own = body.findings.filter((finding) => finding.recording_id === id);
  // A full answer may have left out older ones: then "nothing" would be more than is known.
  if (!own.length) return <p>{body.findings.length < MOST ? text.noFindings : text.noFindingsLately(MOST)}</p>;
  return (
    <ul class="findings">
      {own.map((finding) => (
        <li key={finding.id}>
          <strong>{text.findingKind[finding.kind]}</strong> <span class="faint">{serverTime(finding.at)}</span>
          <br />
          {finding.detail}
        </li>
      ))}
    </ul>
  );
}
