// Who asks.
import { ask, type Schemas } from "./client";
import { change } from "./device";
import { isMeKnown, me, wantsToken } from "../state";

type Session = Schemas["SessionOut"];

function take(session: Session): void {
  me.value = { role: session.role, csrf: session.csrf, name: session.name };
  isMeKnown.value = true;
  wantsToken.value = session.role === null;
}

/** Ask the relay who asks; throws a `Problem`. */
export async function whoAsks(): Promise<void> {
  take((await ask<Session>("GET", "/session")).body);
}

/** Begin a session with a token; throws a `Problem`. */
export async function signIn(token: string): Promise<void> {
  take((await ask<Session>("POST", "/session", { body: { token } })).body);
}

/** End the session of this browser. */
export async function signOut(): Promise<void> {
  await change("DELETE", "/session");
  await whoAsks();
}
