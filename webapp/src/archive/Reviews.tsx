// What people made of a recording. Nothing of it is ever lost: a new word stands before the older ones.
import { useState } from "preact/hooks";
import { ask, Problem, type Schemas } from "../api/client";
import { useResource } from "../data/resource";
import { Scroll } from "../parts/Scroll";
import { Trouble } from "../parts/Trouble";
import { serverTime } from "../parts/time";
import { atLeast, me, noteProblem } from "../state";
import { words } from "../words";
import { verdictText } from "./ArchivePage";

const text = words.archive;
type Review = Schemas["ReviewOut"];

export function Reviews({ id }: { id: string }) {
  const { body, problem, reload } = useResource<Schemas["ReviewsOut"]>({ path: `/archive/recordings/${id}/review` });
  return (
    <>
      {problem && <Trouble problem={problem} retry={reload} />}
      {atLeast("operator") ? (
        body && <ReviewForm id={id} current={body.current} onSaved={reload} />
      ) : (
        <p>{text.onlyOperators}</p>
      )}
      {body && <History history={body.history} />}
    </>
  );
}

interface Wish {
  id: string;
  current: Review | null;
  onSaved: () => void;
}

const VERDICTS = [
  ["true", true, text.yes],
  ["false", false, text.no],
  ["null", null, text.notGiven],
] as const;

function ReviewForm({ id, current, onSaved }: Wish) {
  const [reviewer, setReviewer] = useState(me.value.name);
  const [verdict, setVerdict] = useState<boolean | null>(current?.false_trigger ?? null);
  const [note, setNote] = useState(current?.note ?? "");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [state, setState] = useState<"open" | "saving" | "saved">("open");
  const save = async () => {
    setState("saving");
    setProblem(null);
    try {
      const review = { reviewer: reviewer.trim(), false_trigger: verdict, note: note.trim() || null };
      await ask<Review>("PUT", `/archive/recordings/${id}/review`, { body: review });
      setState("saved");
      onSaved();
    } catch (error) {
      setState("open");
      if (!(error instanceof Problem)) throw error;
      noteProblem(error);
      setProblem(error);
    }
  };
  return (
    <form
      class="review"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
      onInput={() => setState("open")}
    >
      <label>
        {text.reviewer}
        <input
          type="text"
          required
          maxLength={100}
          value={reviewer}
          onInput={(event) => setReviewer(event.currentTarget.value)}
        />
      </label>
      <fieldset>
        <legend>{text.verdict}</legend>
        {VERDICTS.map(([value, means, label]) => (
          <label class="check" key={value}>
            <input
              type="radio"
              name="verdict"
              value={value}
              checked={verdict === means}
              onChange={() => setVerdict(means)}
            />{" "}
            {label}
          </label>
        ))}
      </fieldset>
      <label>
        {text.note}
        <textarea rows={3} maxLength={4000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      <p class="actions">
        <button type="submit" class="main" disabled={state === "saving" || !reviewer.trim()}>
          {text.saveReview}
        </button>
        <span role="status">{state === "saved" ? text.saved : ""}</span>
      </p>
      {problem && <Trouble problem={problem} retry={() => void save()} />}
    </form>
  );
}

function History({ history }: { history: Review[] }) {
  if (!history.length) return <p>{text.noHistory}</p>;
  return (
    <Scroll label={text.history}>
      <table>
        <caption>{text.history}</caption>
        <thead>
          <tr>
            <th scope="col">{text.when}</th>
            <th scope="col">{text.reviewer}</th>
            <th scope="col">{text.review}</th>
            <th scope="col">{text.note}</th>
          </tr>
        </thead>
        <tbody>
          {history.map((review) => (
            <tr key={`${review.at} ${review.reviewer}`}>
              <td>{serverTime(review.at)}</td>
              <td>{review.reviewer}</td>
              <td>{verdictText(review)}</td>
              <td>{review.note ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
