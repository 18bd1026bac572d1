import { useState } from "preact/hooks";
import { Problem } from "../api/client";
import { signIn } from "../api/session";
import { forgetAnswers } from "../data/answers";
import { Dialog } from "../parts/Dialog";
import { Trouble } from "../parts/Trouble";
import { noteSession, wantsToken } from "../state";
import { words } from "../words";

/** Asks for a token when the relay needs one. The token goes to the relay and is kept nowhere here. */
export function TokenDialog() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const close = (): void => {
    wantsToken.value = false;
  };
  const show = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      const session = await signIn(token.trim());
      forgetAnswers();
      noteSession(session);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  return (
    <Dialog title={words.who.title} onClose={close}>
      <form onSubmit={(event) => void show(event)}>
        <p>{words.who.text}</p>
        <label>
          {words.who.token}
          <input
            type="password"
            autocomplete="off"
            required
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        {problem && <Trouble problem={problem} />}
        <p class="actions">
          <button type="submit" class="main">
            {words.who.signIn}
          </button>
          <button type="button" onClick={close}>
            {words.app.cancel}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
