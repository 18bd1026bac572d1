// What the relay noticed about a recording: other content under its stamp, damage, repair.
import type { Schemas } from "../api/client";
import { useResource } from "../data/resource";
import { Trouble } from "../parts/Trouble";
import { serverTime } from "../parts/time";
import { words } from "../words";

const text = words.archive;
/** The most that the relay gives at once; it knows findings of all recordings, the latest first. */
const MOST = 1000;

export function Findings({ id }: { id: string }) {
  const { body, problem, reload } = useResource<Schemas["FindingsOut"]>({
    path: "/archive/findings",
    query: { limit: MOST },
  });
  if (problem?.kind === "not-allowed") return <p>{text.noRight}</p>;
  if (problem) return <Trouble problem={problem} retry={reload} />;
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
