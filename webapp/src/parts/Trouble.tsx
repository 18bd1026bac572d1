import type { Problem } from "../api/client";
import { words } from "../words";

interface Props {
  problem: Problem;
  retry?: () => void;
}

/** What went wrong, and what to do next. */
export function Trouble({ problem, retry }: Props) {
  const fields = Array.isArray(problem.more.errors) ? (problem.more.errors as { field: string; message: string }[]) : [];
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{problem.title}.</strong> {words.trouble.next[problem.kind] ?? words.trouble.otherwise}
      </p>
      {problem.message && <p class="detail">{problem.message}</p>}
      {fields.length > 1 && (
        <ul>
          {fields.map((one) => (
            <li key={one.field}>
              {one.field}: {one.message}
            </li>
          ))}
        </ul>
      )}
      <p>
        {problem.retryAfterS !== null && <span>{words.trouble.wait(problem.retryAfterS)} </span>}
        {retry && (
          <button type="button" onClick={retry}>
            {words.trouble.again}
          </button>
        )}
      </p>
    </div>
  );
}
