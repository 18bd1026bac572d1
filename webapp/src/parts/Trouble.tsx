import type { Problem } from "../api/client";
import { words } from "../words";
import { plainly } from "./plainly";

interface Props {
  problem: Problem;
  retry?: (() => void) | undefined;
}

/** Problems whose detail says what their title says, and of which unit. */
const DETAIL_IS_TITLE = new Set(["unknown-unit"]);

/** What went wrong, and what to do next. */
export function Trouble({ problem, retry }: Props) {
  const fields = Array.isArray(problem.more.errors)
    ? (problem.more.errors as { field: string; message: string }[])
    : [];
  const detail = plainly(problem.message);
  const isTitled = detail === "" || !DETAIL_IS_TITLE.has(problem.kind);
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{words.trouble.sentence(isTitled ? problem.title : detail)}</strong>{" "}
        {words.trouble.next[problem.kind] ?? words.trouble.otherwise}
      </p>
      {isTitled && detail && <p class="detail">{detail}</p>}
      {fields.length > 1 && (
        <ul>
          {fields.map((one) => (
            <li key={one.field}>
              {one.field}: {plainly(one.message)}
            </li>
          ))}
        </ul>
      )}
      {(problem.retryAfterS !== null || retry) && (
        <p>
          {problem.retryAfterS !== null && <span>{words.trouble.wait(problem.retryAfterS)} </span>}
          {retry && (
            <button type="button" onClick={retry}>
              {words.trouble.again}
            </button>
          )}
        </p>
      )}
    </div>
  );
}

interface Failing {
  problem: Problem | null;
  reload: () => void;
}

/** Each failure of what a page reads, once, however many of its parts failed with it. */
export function Troubles({ of }: { of: readonly Failing[] }) {
  const kinds = new Map<string, Problem>();
  for (const { problem } of of) if (problem && !kinds.has(problem.kind)) kinds.set(problem.kind, problem);
  return (
    <>
      {[...kinds].map(([kind, problem]) => (
        <Trouble
          key={kind}
          problem={problem}
          retry={() => {
            for (const one of of) if (one.problem?.kind === kind) one.reload();
          }}
        />
      ))}
    </>
  );
}
